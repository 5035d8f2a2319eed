"""What components made with slixmpp are run by: they connect, and end with the result of their future `over`, or after half a minute."""
import asyncio
import os
import sys

try:
    from slixmpp.componentxmpp import ComponentXMPP
except ImportError as error:
    print(f"{error}: install the Debian package python3-slixmpp", file=sys.stderr)
    sys.exit(3)


class Component(ComponentXMPP):
    def __init__(self):
        super().__init__(os.environ["PARLEY_COMPONENT"], os.environ["PARLEY_SECRET"], "127.0.0.1",
                         int(os.environ["PARLEY_PORT"]))
        self.over = asyncio.get_event_loop().create_future()

    def end(self, code):
        if not self.over.done():
            self.over.set_result(code)


async def _live(component):
    component.connect()
    try:
        code = await asyncio.wait_for(component.over, 30)
    except asyncio.TimeoutError:
        code = 2
    await component.disconnect(wait=1.0)
    return code


def run(component):
    sys.exit(asyncio.get_event_loop().run_until_complete(_live(component)))
