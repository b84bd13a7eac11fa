# ruff: noqa: I001 - one import for each module
from .bench.bench import Bench as Bench, RemoteFunction as RemoteFunction
from .bench.camera import Camera as Camera, Digitizer as Digitizer
from .bench.connecting import connect as connect
from .bench.current import run as run, scan as scan
from .bench.detector import Detector as Detector, Signal as Signal
from .bench.device import Device as Device
from .bench.light import Laser as Laser, Shutter as Shutter
from .bench.manual_run import ManualRun as ManualRun
from .bench.motor import Motor as Motor
from .bench.readings import Readings as Readings
from .bench.subscription import Subscription as Subscription
from .blocking.blocking_stream import BlockingStream as BlockingStream
from .blocking.status import Status as Status
from .calls.async_client import AsyncClient as AsyncClient
from .calls.devices import DevicesClient as DevicesClient
from .calls.models import (
    Block as Block,
    DaemonInfo as DaemonInfo,
    DeviceInfo as DeviceInfo,
    DeviceListing as DeviceListing,
    ExecutionUpdate as ExecutionUpdate,
    Frame as Frame,
    FrameQuality as FrameQuality,
    LiveStatus as LiveStatus,
    ParameterChange as ParameterChange,
    ParameterReading as ParameterReading,
    PositionUpdate as PositionUpdate,
    RecordedPoint as RecordedPoint,
    RunPage as RunPage,
    Sample as Sample,
    StateChange as StateChange,
    StateUpdate as StateUpdate,
    UploadedScript as UploadedScript,
)
from .calls.runs import RunsClient as RunsClient
from .calls.scripts import ScriptsClient as ScriptsClient
from .calls.streams import StreamsClient as StreamsClient
from .recorded.conditions import glob as glob
from .recorded.run_log import Run as Run, RunLog as RunLog
from .rpc.connection import DEFAULT_ADDRESS as DEFAULT_ADDRESS, default_address as default_address
from .rpc.credentials import Credentials as Credentials
from .sending.execution import Execution as Execution
from .showing.display import Display as Display
