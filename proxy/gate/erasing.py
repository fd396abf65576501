"""Regular expressions of the configuration, on content of backends, with an end to their patience.

`re` goes back over what it has read: `<!--.*?-->` takes 20 s for 100 KB of nothing but `<!--`, in which no
other request is answered, and who may write content may write that. But its engine lets signals be handled
while it matches, and so a timer of this process' own processor time can end it.
"""

from __future__ import annotations

import re
import signal
import threading
from types import FrameType
from typing import Final

LONGEST: Final = 0.1  # seconds of processor time for one content
MARK: Final = "\0"


class _OutOfTime(Exception):
    pass


_armed = False


def _ring(_number: int, _frame: FrameType | None) -> None:
    if _armed:  # else it rang just when the work was done
        raise _OutOfTime


def erased(expression: re.Pattern[str], text: str) -> str | None:
    """The text with a mark for all that matches; None where that takes longer than `LONGEST`.

    Only the main thread has signals, and only Unix has the timer; elsewhere there is no end.
    """
    global _armed
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return expression.sub(MARK, text)
    if signal.getsignal(signal.SIGVTALRM) is not _ring:
        signal.signal(signal.SIGVTALRM, _ring)
    try:
        try:
            _armed = True
            signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
            return expression.sub(MARK, text)
        finally:
            _armed = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except _OutOfTime:  # out here, for it may ring in `finally` too
        _armed = False
        return None
