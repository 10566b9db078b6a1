"""A Chainlit app below a path of a FastAPI server.

    export CHAINLIT_AUTH_SECRET=...     # chainlit create-secret
    uvicorn --app-dir examples mounted_fastapi:app --port 8000

The chat is at http://localhost:8000/chat
"""

from pathlib import Path

from chainlit.utils import mount_chainlit
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def home() -> dict[str, str]:
    return {"chat": "/chat"}


mount_chainlit(app, target=str(Path(__file__).with_name("with_data_layer.py")), path="/chat")
