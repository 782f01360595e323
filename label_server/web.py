"""The server's HTTP side: MONAI Label's own routes, but with requests checked first and every refusal one sentence."""

import json
import logging
import os
import threading
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, Header, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from monailabel.app import app
from monailabel.config import settings
from monailabel.endpoints import activelearning, datastore, infer, scoring, train
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.utils import tasks
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from bundle.errors import BundleError, ConfigError, find_bundle_error
from label_server.same_origin import SameOriginMiddleware
from study.annotations import FINAL, version_of
from study.folder import NotReplaced

#: Host names that a browser may use, separated by commas; the command line sets it. A page of another site that makes
#: its own name point to this machine is then not answered.
HOSTS_VARIABLE = "LABEL_SERVER_HOSTS"

logger = logging.getLogger(__name__)
router = APIRouter(prefix=settings.MONAI_LABEL_API_STR)
_starting = threading.Lock()

_USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
_ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
_ADMIN = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))


# These are plain functions, which FastAPI runs in threads: MONAI Label's own, which are coroutines, keep every
# other client waiting until they have finished.
@router.post("/infer/{model}", tags=["Infer"])
def run_inference(
    background_tasks: BackgroundTasks,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: infer.ResultType | None = None,
    user: User = _USER,
) -> Any:
    """Find the landmarks of an image."""
    app_instance().check_model(model)
    read_object("params", params)
    if not file and not image and not session_id:
        raise ConfigError("no image was named: give image=ID, or send a file.")
    if output == infer.ResultType.dicom_seg:
        raise ConfigError("output is 'dicom_seg', but points are no segmentation: give json, image or all.")
    return infer.run_inference(background_tasks, model, image, session_id, params, file, label, output)


@router.post("/train/{model}", tags=["Train"])
def start_training(
    model: str, params: dict[str, Any] | None = None, run_sync: bool = False, enqueue: bool = False, user: User = _ADMIN
) -> Any:
    """Start a training."""
    if run_sync:
        raise ConfigError("run_sync is true, but a training runs beside the server: leave it out, and GET /train/.")
    with _starting:
        app_instance().check_training(model, params or {})
        if not enqueue and any(task["status"] in ("SUBMITTED", "RUNNING") for task in tasks("train")):
            raise HTTPException(
                429, "a training is running already: wait until GET /train/ says DONE, or stop it with DELETE /train/."
            )
        return train.run_model(model, params, run_sync, enqueue)


@router.post("/activelearning/{strategy}", tags=["ActiveLearning"])
def propose(strategy: str, params: dict[str, Any] | None = None, user: User = _USER) -> Any:
    """Propose the image to annotate next."""
    return activelearning.sample(strategy, params, user.username)


@router.post("/scoring/{method}", tags=["Scoring"])
def score(method: str, params: dict[str, Any] | None = None, run_sync: bool = False, user: User = _ANNOTATOR) -> Any:
    """Compare annotations with predictions."""
    app_instance().check_scoring(method)
    return scoring.run_method(method, params, run_sync)


@router.put("/datastore/label", tags=["Datastore"])
def save_annotation(
    background_tasks: BackgroundTasks,
    image: str,
    label: Annotated[UploadFile, File()],
    params: Annotated[str, Form()] = "{}",
    tag: str = FINAL,
    if_match: Annotated[str | None, Header()] = None,
    user: User = _ANNOTATOR,
) -> Any:
    """Save an annotation; one that is there already is replaced only with its version in ``If-Match``."""
    known = read_object("params", params)
    if if_match is not None:
        known["replaces"] = if_match.strip().strip('"')
    store = app_instance().datastore()
    with store.changing:  # or the version might be that of another client's annotation
        saved = datastore.save_label(background_tasks, image, json.dumps(known), tag, label, user.username)
        return JSONResponse(saved, headers=_version(store.get_label_uri(image, tag or FINAL)))


@router.get("/datastore/label", tags=["Datastore"])
def send_annotation(label: str, tag: str, user: User = _USER) -> Any:
    """An annotation, with its version in ``ETag``."""
    answer = datastore.download_label(label, tag)
    answer.headers.update(_version(answer.path))
    return answer


def _version(label: str) -> dict[str, str]:
    return {"ETag": f'"{version_of(Path(label))}"'}


def read_object(name: str, text: str) -> dict[str, Any]:
    """A form field that holds a JSON object.

    Raises:
        ConfigError: when it is something else.
    """
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f'{name} is {text[:80]!r}, expected a JSON object such as {{"device": "cpu"}}.')
    return value


def refuse(request: Request, error: Exception) -> JSONResponse:
    """What a client hears of an error: one sentence; what is no mistake of the client goes to the log as well."""
    ours = find_bundle_error(error)
    if isinstance(ours, NotReplaced):
        cure = f' (GET /datastore/label), and send yours again with If-Match: "{ours.version}" to replace it.'
        sentence = str(ours).removesuffix(".") + (cure if ours.version else ", and send yours without If-Match.")
        return JSONResponse({"detail": sentence}, 412 if ours.given else 428, {"ETag": f'"{ours.version}"'})
    if ours is not None:
        return JSONResponse({"detail": str(ours)}, 400)
    if isinstance(error, ImageNotFoundException | LabelNotFoundException):
        return JSONResponse({"detail": error.msg}, 404)
    if isinstance(error, MONAILabelException):
        return JSONResponse({"detail": error.msg}, 400)
    if isinstance(error, json.JSONDecodeError):
        return JSONResponse({"detail": f"a field of the request is no valid JSON ({error.msg})."}, 400)
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    kind = type(error).__name__
    return JSONResponse({"detail": f"the server failed at this request ({kind}): its log, GET /logs/, says more."}, 500)


def refuse_shape(request: Request, error: RequestValidationError) -> JSONResponse:
    """A request that lacks something, or has it in another form."""
    first = error.errors()[0]
    place = " ".join(str(part) for part in first["loc"])
    return JSONResponse({"detail": f"the request is wrong at {place}: {first['msg']}."}, 422)


app.router.routes[:0] = router.routes  # before those of the same path
for kind in (BundleError, MONAILabelException, json.JSONDecodeError, Exception):
    app.add_exception_handler(kind, refuse)
app.add_exception_handler(RequestValidationError, refuse_shape)
# MONAI Label lets the pages of every site talk to the server from a user's browser; here none may.
app.user_middleware[:] = [entry for entry in app.user_middleware if entry.cls is not CORSMiddleware]
app.add_middleware(SameOriginMiddleware)
if os.environ.get(HOSTS_VARIABLE):
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=os.environ[HOSTS_VARIABLE].split(","))

__all__ = ["app"]
