"""What an app needs so that its users see their conversations again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

OK, NOTE, FAILED, SKIPPED = "ok", "note", "FAILED", "skipped"

_LOGINS = {"password_auth_callback", "header_auth_callback", "oauth_callback"}
HANDLERS = {"on_message", "on_chat_start", "on_audio_chunk"}
_LOWEST_CHAINLIT = (2, 10, 1)

NO_HANDLER = "has no @cl.on_message, @cl.on_chat_start or @cl.on_audio_chunk; add one of them"
NEEDS_SIGNATURE = (
    "has a login, which needs CHAINLIT_AUTH_SECRET; run: chainlit create-secret | tail -n 1 >> .env"
)
_NO_LOGIN = (
    "has no login, and Chainlit shows past conversations only to users who are logged in: nobody "
    "will see what is stored; add @cl.password_auth_callback or another login"
)
_NO_RESUME = (
    "has no @cl.on_chat_resume, so past conversations can be read but not continued; add it"
)
_NO_LAYER = (
    "has no @cl.data_layer: a plain `chainlit run` gives DATABASE_URL to Chainlit's own layer, "
    "which needs other tables; rename the variable to CHAINLIT_DATABASE_URL"
)
_OTHER_LAYER = "has a @cl.data_layer, but not that of chainlit-sqla, which is used for nothing"


def unsafe_chainlit() -> str:
    """Say why the installed Chainlit is older than this package allows, "" if it is not."""
    installed = version("chainlit")
    if tuple(map(int, re.findall(r"\d+", installed)[:3])) >= _LOWEST_CHAINLIT:
        return ""
    lowest = ".".join(map(str, _LOWEST_CHAINLIT))
    return (
        f"Chainlit {installed} is not safe: before 2.9.4 clients read files of the server, and "
        f"before {lowest} they take over the sessions of others; run: pip install -U chainlit"
    )


def missing_callbacks(*, login: bool, resume: bool) -> Iterator[str]:
    """What is missing for past conversations to be seen and continued."""
    if not login:
        yield _NO_LOGIN
    if not resume:
        yield _NO_RESUME


def check_apps(
    folder: Path, app: Path | None, *, secret: bool, plain_url: bool, custom_login: bool
) -> Iterator[tuple[str, str]]:
    """Check an app, or those in a folder, by its source; yields statuses and texts.

    ``secret``, ``plain_url`` and ``custom_login``: CHAINLIT_AUTH_SECRET, DATABASE_URL or
    CHAINLIT_CUSTOM_AUTH is set.
    """
    found = False
    for path in [app] if app else sorted(folder.glob("*.py")):
        try:
            names, imports = _read_source(path)
        except (OSError, SyntaxError, ValueError) as error:
            if app:
                yield FAILED, f"{path} cannot be read: {error}"
            continue
        if not app and ("chainlit" not in imports or names.isdisjoint(HANDLERS)):
            continue
        found = True
        login = custom_login or not names.isdisjoint(_LOGINS)
        for text in missing_callbacks(login=login, resume="on_chat_resume" in names):
            yield NOTE, f"{path.name} {text}"
        if login and not secret:
            yield FAILED, f"{path.name} {NEEDS_SIGNATURE}"
        if "data_layer" not in names:
            how = f"start it with: chainlit-sqla run {path.name}"
            yield (NOTE, f"{path.name} {_NO_LAYER}, or {how}") if plain_url else (OK, how)
        elif "chainlit_sqla" in imports:
            yield OK, f"{path.name} makes the data layer itself"
        else:
            yield NOTE, f"{path.name} {_OTHER_LAYER}"
    if not found and not app:
        yield SKIPPED, f"no Chainlit app in {folder}; name it: chainlit-sqla doctor path/to/app.py"


def _read_source(path: Path) -> tuple[set[str], set[str]]:
    """Parse an app and the modules beside it that it imports, without running them.

    Returns the names of decorators and of called functions, and the imported packages.
    """
    names: set[str] = set()
    imports: set[str] = set()
    pending, seen = [path], set()
    while pending:
        file = pending.pop()
        if file in seen or (file != path and not file.is_file()):
            continue
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
            names.update(_functions(node))
            for module in _modules(node):
                imports.add(module.partition(".")[0])
                base = file.parent.joinpath(*module.split("."))
                pending += [base.with_suffix(".py"), base / "__init__.py"]
    return names, imports


def _functions(node: ast.AST) -> Iterator[str]:
    functions: list[ast.expr] = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        functions = node.decorator_list
    elif isinstance(node, ast.Call):
        functions = [node.func]
    for function in functions:
        if isinstance(function, ast.Attribute):
            yield function.attr
        elif isinstance(function, ast.Name):
            yield function.id


def _modules(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = f"{node.module}." if node.module else ""
        yield from (f"{module}{alias.name}" for alias in node.names)
        if node.module:
            yield node.module
