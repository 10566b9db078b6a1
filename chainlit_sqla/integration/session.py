"""Chainlit's session: which rows a call may change.

Chainlit's own context raises an error outside a session. Scripts and background jobs have no
session, and the layer works there, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainlit.context import context_var
from chainlit.session import WebsocketSession
from chainlit.user_session import user_sessions

from .._internal.json import clean_text
from ..writes.operations import Scope

if TYPE_CHECKING:
    from chainlit.session import BaseSession

_SHARING = ("is_shared", "shared_at")
"""The members of a thread's metadata that Chainlit's share route sets."""


def current_session() -> BaseSession | None:
    """Return the session in which the call is made, None outside of one."""
    context = context_var.get(None)
    return context.session if context else None


def is_browser_session() -> bool:
    """Whether the call is made in the session of a browser, and not by a request or a script."""
    return isinstance(current_session(), WebsocketSession)


def deletion_scope() -> Scope:
    """Return what a deletion by id may reach: ids in a browser's session come from the client.

    Any other session is of the app's own code (scripts, endpoints, Slack), which is not limited.
    """
    session = current_session()
    if not isinstance(session, WebsocketSession):
        return Scope()
    return Scope(clean_text(session.thread_id), browser_user())


def browser_user() -> str | None:
    """Return the identifier of the user of a browser's session, None outside of one.

    It is checked for every element, because a client names the thread in
    ``PUT /project/element``.
    """
    session = current_session()
    if not isinstance(session, WebsocketSession) or session.user is None:
        return None
    return clean_text(session.user.identifier)


def session_owner(thread_id: object, user_id: object) -> str | None:
    """Return the identifier of the browser's user of this id, for the session's own thread.

    The id is None of a user whom Chainlit could not read, in an outage: it then creates the
    thread without an owner.
    """
    session = current_session()
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
    session = current_session()
    return browser_user() if session and thread_id == session.thread_id else None


def shared_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what the share route changes: it sends all metadata, as it was before."""
    return {name: metadata.get(name) for name in _SHARING}


def without_copied_sharing(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without what a browser's session has copied of a shared thread.

    A resumed session gets the thread's metadata as its variables, and they are written back when
    the window closes, perhaps after the thread was shared or unshared. Other values are the app's.
    """
    session = current_session()
    if not isinstance(session, WebsocketSession) or "chat_settings" not in metadata:
        return metadata
    variables = user_sessions.get(session.id) or {}
    copied = {name for name in _SHARING if name in variables}
    copied = {name for name in copied if variables[name] == metadata.get(name)}
    return {name: value for name, value in metadata.items() if name not in copied}
