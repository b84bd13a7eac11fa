"""What holds for every driver: its description, its connection, its stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from daq.core import (
    Capability,
    ConfigurationError,
    DeviceDescription,
    DeviceError,
    FrameProducer,
    Movable,
    Readable,
    SampleProducer,
    Triggerable,
)
from daq.drivers import Driver
from daq.testing.driver_subject import Subject, expect, expect_error

__all__ = ["ALWAYS", "PROTOCOLS", "Check"]

Check = Callable[[Subject], Awaitable[None]]

PROTOCOLS: dict[Capability, type] = {
    Capability.READABLE: Readable,
    Capability.MOVABLE: Movable,
    Capability.TRIGGERABLE: Triggerable,
    Capability.FRAME_PRODUCER: FrameProducer,
    Capability.SAMPLE_PRODUCER: SampleProducer,
}

_FIELDS: dict[Capability, dict[str, type]] = {
    Capability.MOVABLE: {"position": float, "moving": bool},
}
"""What `poll` has to say for a capability."""


async def description_is_complete(subject: Subject) -> None:
    """It bears the id, stays the same, and says what each capability needs."""
    driver = subject.build()
    description = driver.description
    expect(description.id == subject.device_id, f"it calls itself {description.id!r}")
    expect(description.driver == subject.driver_name, f"its driver is {description.driver!r}")
    expect(description == driver.description, "it changes from one look to the next")
    expect(
        description.channel.name == description.id, "its own channel does not bear the device's id"
    )
    for what, present in _needed(description):
        expect(present, f"the description lacks {what}")
    await trio.lowlevel.checkpoint()


def _needed(description: DeviceDescription) -> list[tuple[str, bool]]:
    offered = description.capabilities
    needs = [
        (Capability.MOVABLE, "units", bool(description.units)),
        (Capability.MOVABLE, "limits", description.limits is not None),
        (Capability.MOVABLE, "a tolerance", description.tolerance is not None),
        (Capability.READABLE, "units of its readings", bool(description.reading_channel.units)),
        (Capability.FRAME_PRODUCER, "a resolution", description.resolution is not None),
        (Capability.FRAME_PRODUCER, "bits_per_pixel", description.bits_per_pixel is not None),
    ]
    return [(what, present) for capability, what, present in needs if capability in offered]


async def capabilities_are_what_is_implemented(subject: Subject) -> None:
    """Every capability that it declares it implements, and the other way round."""
    driver = subject.build()
    offered = driver.description.capabilities
    for capability, protocol in PROTOCOLS.items():
        implemented = isinstance(driver, protocol)
        if capability in offered:
            expect(implemented, f"it declares {capability} and lacks methods of {protocol}")
        else:
            expect(not implemented, f"it implements {protocol} and does not declare {capability}")
    for action in driver.description.actions:
        is_there = type(driver).act is not Driver.act or hasattr(driver, action.name)
        expect(is_there, f"it declares the action {action.name} and has no method for it")
    await trio.lowlevel.checkpoint()


async def options_are_checked(subject: Subject) -> None:
    """An option that nobody knows is refused when the driver is built."""
    try:
        subject.build({"no_such_option": 1})
    except ConfigurationError:
        await trio.lowlevel.checkpoint()
        return
    expect(False, "an unknown option is not refused with ConfigurationError")


async def connects_again_and_again(subject: Subject) -> None:
    """After a disconnect, and after a connect that was cancelled half way, it connects again."""
    driver = subject.build()
    for _ in range(3):
        await driver.connect()
        await driver.poll()
        await driver.disconnect()
    with trio.CancelScope() as scope:
        scope.cancel()
        await driver.connect()
    expect(scope.cancelled_caught, "connect ran to its end without a checkpoint")
    await driver.connect()
    await driver.poll()
    await driver.disconnect()


async def is_offline_when_disconnected(subject: Subject) -> None:
    """A driver without connection says so, and invents nothing."""
    driver = subject.build()
    await expect_error(DeviceError, "poll before connect", driver.poll)
    await driver.connect()
    await driver.disconnect()
    await expect_error(DeviceError, "poll after disconnect", driver.poll)


async def poll_tells_the_state(subject: Subject) -> None:
    """`poll` and `settings` hold plain values, and what each capability promises."""
    async with subject.connected() as driver:
        state = await driver.poll()
        for source in (state, await driver.settings()):
            for name, value in source.items():
                expect(
                    isinstance(value, bool | int | float | str), f"{name} is {type(value).__name__}"
                )
        for capability in driver.description.capabilities:
            for name, dtype in _FIELDS.get(capability, {}).items():
                expect(
                    type(state.get(name)) is dtype,
                    f"poll gives {name} = {state.get(name)!r}, a {dtype.__name__} was expected",
                )
        expect(isinstance(driver.pause_veto(), str), "pause_veto does not give a text")


async def poll_survives_cancellation(subject: Subject) -> None:
    """A question that is cancelled half way does not spoil the next one."""
    async with subject.connected() as driver:
        before = await driver.poll()
        for after in (0.0, 1e-4, 1e-3, 1e-2):
            with trio.move_on_after(after):
                await driver.poll()
            expect((await driver.poll()).keys() == before.keys(), "poll lost fields")


async def stop_when_idle_says_so(subject: Subject) -> None:
    """`stop` of an idle instrument gives False; `make_safe` leaves it usable, twice as well."""
    async with subject.connected() as driver:
        expect(await driver.stop() is False, "stop of an idle device does not return False")
        expect(isinstance(await driver.make_safe(), bool), "make_safe does not return a bool")
        expect(await driver.make_safe() is False, "a second make_safe does not return False")
        await driver.poll()


ALWAYS: tuple[tuple[Capability | None, Check], ...] = (
    (None, description_is_complete),
    (None, capabilities_are_what_is_implemented),
    (None, options_are_checked),
    (None, connects_again_and_again),
    (None, is_offline_when_disconnected),
    (None, poll_tells_the_state),
    (None, poll_survives_cancellation),
    (None, stop_when_idle_says_so),
)
