"""What routes ask for: the application, and who is calling."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from ticketflow.api.problems import request_id_of
from ticketflow.domain.errors import FieldProblem, Invalid
from ticketflow.services.intake import Caller
from ticketflow.wiring import Application


def application(request: Request) -> Application:
    app: Application = request.app.state.application
    return app


def caller(request: Request) -> Caller:
    return Caller(request_id_of(request), request.scope.get("ticketflow.traceparent"))


def known_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not have: a misspelt filter would show everything."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    if unknown := [name[:100] for name in request.query_params if name not in known]:
        problems = [FieldProblem(name, "is not a parameter here") for name in dict.fromkeys(unknown[:50])]
        raise Invalid(f"{problems[0].field}: {problems[0].message}", problems)


KnownParameters = Depends(known_parameters)
App = Annotated[Application, Depends(application)]
Calling = Annotated[Caller, Depends(caller)]
