"""Driving full screens: keys in, what is on the screen out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from versioned_collection.cli.screens.app import Screens

Steps = Callable[["Driver"], Awaitable[None]]

_DEADLINE = 30.0


class Driver:
    """A screen that is being driven."""

    def __init__(self, app: Screens, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    @property
    def shown(self) -> str:
        """What is on the screen, as lines of text."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def press(self, *keys: str) -> None:
        """Press keys, and let what they started come to an end."""
        for key in keys:
            await self._pilot.press(key)
            await self.rest()

    async def begin(self, key: str) -> None:
        """Press a key, and wait for nothing that it started."""
        await self._pilot.press(key)

    async def write(self, text: str) -> None:
        """Write a text into what is asked for, in place of what is there."""
        self.app.screen.query_one("#answer").value = text
        await self.press("enter")

    async def rest(self) -> None:
        """Wait until no job runs and no timer of a screen waits."""
        await self.app.workers.wait_for_complete()
        await self._pilot.pause()

    async def until(self, fits: Callable[[str], bool]) -> str:
        """Wait until the screen shows something, and return what it shows."""
        end = asyncio.get_running_loop().time() + _DEADLINE
        while not fits(self.shown):
            assert asyncio.get_running_loop().time() < end, self.shown
            await self.rest()
        return self.shown

    async def sees(self, *texts: str) -> str:
        """Wait until the screen shows texts."""
        return await self.until(lambda shown: all(text in shown for text in texts))


def drive(screen: Screen[None], steps: Steps, size: tuple[int, int] = (120, 30)) -> Any:
    """Show a screen on a terminal that is none, and do something with it."""

    async def run() -> None:
        app = Screens(screen)
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot)
            await driver.rest()
            await steps(driver)

    asyncio.run(run())
