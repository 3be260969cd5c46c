"""The HTTP API and the page, over any collection."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import ORJSONResponse as _Orjson  # noqa: F401
from fastapi.staticfiles import StaticFiles
