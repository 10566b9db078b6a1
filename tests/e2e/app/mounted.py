"""The same app below a path of somebody else's FastAPI application."""

from __future__ import annotations

import logging

from chainlit.utils import mount_chainlit
from fastapi import FastAPI

# As `chainlit run` prints it.
logging.basicConfig(
    level=logging.INFO, format="%(asctime)s - %(levelname)s - %(name)s - %(message)s"
)
app = FastAPI()


@app.get("/")
def home() -> str:
    return "the host application"


mount_chainlit(app=app, target="app.py", path="/chat")
