"""A server of EPICS process variables: a motor that takes its time, a meter, a choice."""

import sys

from caproto import ChannelType
from caproto.ioc_examples.fake_motor_record import FakeMotor
from caproto.server import PVGroup, SubGroup, ioc_arg_parser, pvproperty, run


class Bench(PVGroup):
    # A motor record: its DMOV tells up to 0.1 s late that it moves.
    record = SubGroup(FakeMotor, velocity=5.0, user_limits=(-5.0, 5.0), prefix="mtr1")
    goal = pvproperty(name="m1.VAL", value=0.0)
    readback = pvproperty(name="m1.RBV", value=0.0, read_only=True)
    halt = pvproperty(name="m1.STOP", value=0)
    power = pvproperty(name="power", value=1.25e-3, read_only=True)
    shutter = pvproperty(name="shutter", value=0)
    spectrum = pvproperty(name="spectrum", value=[1.0, 2.0, 4.0], max_length=3, read_only=True)
    mode = pvproperty(name="mode", value="slow", dtype=ChannelType.STRING)

    @readback.startup  # type: ignore[no-redef]
    async def readback(self, instance, async_lib):
        """Follows the goal by 20 units/s."""
        while True:
            here, goal = self.readback.value, self.goal.value
            step = max(-0.2, min(0.2, goal - here))
            if step:
                await self.readback.write(here + step)
            await async_lib.sleep(0.01)

    @halt.putter  # type: ignore[no-redef]
    async def halt(self, instance, value):
        if value:
            await self.goal.write(self.readback.value)


if __name__ == "__main__":
    options, run_options = ioc_arg_parser(
        default_prefix=sys.argv.pop(1), desc="bench", argv=["--interfaces", "127.0.0.1", "-q"]
    )

    async def tell(async_lib):
        print("ready", flush=True)

    run(Bench(**options).pvdb, **run_options, startup_hook=tell)
