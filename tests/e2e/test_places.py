"""Other places: below a root path, inside another application, with files in S3."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from tests.servers import s3_moto
from tests.servers.require import unavailable
from tests.until import PATIENCE, until

from .person import Person
from .same import assert_same_elements, assert_same_steps, live_files
from .server import AppServer

pytestmark = pytest.mark.full


async def resume_a_tour(server: AppServer) -> dict[str, Any]:
    """Show everything, resume it in a new window, and compare; returns the thread."""
    async with Person(server.url, "alice") as alice:
        chat = await alice.talk("Tour the fields")
        files = await live_files(alice, chat)
        await chat.disconnect()
        again = await alice.chat(chat.thread)
        assert again.resumed
        assert_same_steps(chat, again.resumed)
        await assert_same_elements(chat, again.resumed, files)
        return again.resumed


async def assert_feedback_is_guarded(server: AppServer, thread: dict[str, Any]) -> None:
    step = thread["steps"][0]["id"]
    async with Person(server.url, "alice") as alice, Person(server.url, "bob") as bob:
        given = await alice.give_feedback(forId=step, threadId=thread["id"], value=1)
        assert given.status_code == 200
        refused = await bob.give_feedback(forId=step, threadId=thread["id"], value=0)
        assert refused.status_code == 403
        assert (await bob.take_feedback(given.json()["feedbackId"])).status_code == 403
        server.restart()  # In a mounted application, the first request creates the layer.
        assert (await bob.take_feedback(given.json()["feedbackId"])).status_code == 403
    first = ["Feedback not changed: .* the first one"] if "uvicorn" in server.command else []
    server.expect("'bob' is not the author", *first)


def links(thread: dict[str, Any]) -> list[str]:
    return [e["url"] for e in thread["elements"] if e["url"] and "example.org" not in e["url"]]


@pytest.mark.parametrize("mounted", [False, True], ids=["root-path", "mounted"])
async def test_files_are_served_below_a_path(tmp_path: Path, mounted: bool) -> None:
    server = AppServer(tmp_path, root_path="/chat", mounted=mounted)
    try:
        thread = await resume_a_tour(server)
        assert all(link.startswith("/chat/chainlit-sqla/files/") for link in links(thread))
        await assert_feedback_is_guarded(server, thread)
        with httpx.Client(base_url=server.origin, timeout=PATIENCE) as http:
            assert http.get(links(thread)[0].removeprefix("/chat")).status_code == 404
            assert http.get("").text == '"the host application"' or not mounted
    finally:
        server.stop()
    server.check_log()


async def test_files_in_s3_are_served_by_s3(tmp_path: Path) -> None:
    if why := s3_moto.missing():
        unavailable(f"S3: {why}", "pip install 'chainlit-sqla[test]'")
    s3 = s3_moto.MotoServer()
    bucket = f"chats-{secrets.token_hex(4)}"
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=bucket)
    settings = {
        "BUCKET_NAME": bucket,
        "APP_AWS_ACCESS_KEY": s3.access_key,
        "APP_AWS_SECRET_KEY": s3.secret_key,
        "APP_AWS_REGION": s3.region,
        "DEV_AWS_ENDPOINT": s3.endpoint,
    }
    server = AppServer(tmp_path, settings)
    try:
        thread = await resume_a_tour(server)
        assert list_objects(client, bucket, thread["id"])
        assert all(link.startswith(f"{s3.endpoint}/{bucket}/") for link in links(thread))
        assert not (server.data / "files").exists()
        async with Person(server.url, "alice") as alice:
            assert (await alice.delete(thread["id"])).status_code == 200
        await until(lambda: not list_objects(client, bucket, thread["id"]))
    finally:
        server.stop()
        s3.stop()
    server.check_log()


def list_objects(client: Any, bucket: str, thread: str) -> list[str]:
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"threads/{thread}/")
    return [item["Key"] for item in found.get("Contents", [])]
