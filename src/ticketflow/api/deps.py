"""What routes ask for: the application, and who is calling.

All of them are coroutine functions though none waits for anything: the framework sends any other to a thread, and each
such journey costs more than the rest of the request.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from ticketflow.access.bearer import Access
from ticketflow.api.problems import request_id_of
from ticketflow.domain.errors import FieldProblem, Forbidden, Invalid
from ticketflow.domain.roles import Principal, Role
from ticketflow.services.caller import Caller
from ticketflow.wiring import Application


async def application(request: Request) -> Application:
    app: Application = request.app.state.application
    return app


async def principal(request: Request) -> Principal:
    found: Principal = request.scope["ticketflow.principal"]
    return found


async def access(request: Request) -> Access:
    found: Access = request.app.state.access
    return found


async def caller(request: Request, who: Who) -> Caller:
    return Caller(request_id_of(request), request.scope.get("ticketflow.traceparent"), who)


def at_least(role: Role) -> Any:
    """A route's dependency: whoever has not this role gets a 403."""

    async def check(who: Who) -> None:
        if not who.has(role):
            raise Forbidden(f"this takes the role {role}")

    return Depends(check)


async def known_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not have: a misspelt filter would show everything."""
    if not request.scope["query_string"]:
        return
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    if unknown := [name[:100] for name in request.query_params if name not in known]:
        problems = [FieldProblem(name, "is not a parameter here") for name in dict.fromkeys(unknown[:50])]
        raise Invalid(f"{problems[0].field}: {problems[0].message}", problems)


Who = Annotated[Principal, Depends(principal)]
KnownParameters = Depends(known_parameters)
AccessRules = Annotated[Access, Depends(access)]
App = Annotated[Application, Depends(application)]
Calling = Annotated[Caller, Depends(caller)]
