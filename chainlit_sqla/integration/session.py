"""Chainlit's session: which rows a call may change.

Chainlit's own context raises an error outside a session. Scripts and background jobs have no
session, and the layer works there, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainlit.context import context_var
from chainlit.session import WebsocketSession

from .._internal.json import clean_text
from ..writes.operations import Scope

if TYPE_CHECKING:
    from chainlit.session import BaseSession


def _session() -> BaseSession | None:
    context = context_var.get(None)
    return context.session if context else None


def is_browser_session() -> bool:
    """Whether the call is made in the session of a browser, and not by a request or a script."""
    return isinstance(_session(), WebsocketSession)


def deletion_scope() -> Scope:
    """Return what a deletion by id may reach: the session's thread and its user's threads."""
    session = _session()
    if session is None:
        return Scope()
    return Scope(session.thread_id, getattr(session.user, "id", None))


def browser_user() -> str | None:
    """Return the identifier of the user of a browser's session, None outside of one.

    It is checked for every element, because a client names the thread in
    ``PUT /project/element``.
    """
    session = _session()
    if not isinstance(session, WebsocketSession) or session.user is None:
        return None
    return clean_text(session.user.identifier)


def session_owner(thread_id: object, user_id: object) -> str | None:
    """Return the identifier of the browser's user of this id, for the session's own thread.

    The id is None of a user whom Chainlit could not read, in an outage: it then creates the
    thread without an owner.
    """
    session = _session()
    if session is None or thread_id != session.thread_id:
        return None
    return browser_user() if getattr(session.user, "id", None) == user_id else None


def author_of(thread_id: object) -> str | None:
    """Return the browser's user for a write to the thread of its session, else None.

    The client chooses the id of its thread, perhaps before another user creates a thread of
    that id, when Chainlit has no author to check. A write to another thread is a decision of
    the app. In Slack, Teams and Discord several users write in one thread; their sessions are
    not a browser's.
    """
    session = _session()
    return browser_user() if session and thread_id == session.thread_id else None
