"""python-cqrs: a request and its handler through the mediator that its bootstrap makes."""

import time
from collections.abc import Mapping

import cqrs
import di
from cqrs.bootstrap import requests

from benchmarks import answering

_CALLS = 4_000


class NothingToDo(cqrs.Request):
    pass


class NothingToDoHandler(cqrs.RequestHandler[NothingToDo, None]):
    @property
    def events(self) -> list[cqrs.Event]:
        return []

    async def handle(self, request: NothingToDo) -> None:
        return None


def _bind(mapper: cqrs.RequestMap) -> None:
    mapper.bind(NothingToDo, NothingToDoHandler)


async def main(answers: answering.Answers) -> None:
    mediator = requests.bootstrap(di_container=di.Container(), commands_mapper=_bind)
    command = NothingToDo()
    await mediator.send(command)

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        begun = time.process_time()
        for _ in range(_CALLS):
            await mediator.send(command)
        return {"time": (time.process_time() - begun) / _CALLS * 1e6}

    await answers.loop(run)


if __name__ == "__main__":
    answering.serve(main)
