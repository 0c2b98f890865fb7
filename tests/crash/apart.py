"""What is done in a process of its own."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable


def succeeds(action: Callable[[], object]) -> bool:
    """Whether ``action`` ends without an error in a process of its own; AssertionError when a signal ended that."""
    child = os.fork()
    if not child:
        code = 1
        try:
            action()
            code = 0
        except Exception as error:  # noqa: BLE001 - it is the answer
            traceback.print_exception(error)
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFSIGNALED(status), signal.Signals(os.WTERMSIG(status))
    return status == 0
