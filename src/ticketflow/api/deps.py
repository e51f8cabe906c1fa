"""What routes ask for: the application, and who is calling."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from ticketflow.api.problems import request_id_of
from ticketflow.services.intake import Caller
from ticketflow.wiring import Application


def application(request: Request) -> Application:
    app: Application = request.app.state.application
    return app


def caller(request: Request) -> Caller:
    return Caller(request_id_of(request), request.scope.get("ticketflow.traceparent"))


App = Annotated[Application, Depends(application)]
Calling = Annotated[Caller, Depends(caller)]
