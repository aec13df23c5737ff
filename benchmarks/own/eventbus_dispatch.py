"""One of the ways of benchmarks.dispatch, named by `way`: microseconds of CPU for a call."""

from collections.abc import Mapping

from benchmarks import answering, dispatch


async def main(answers: answering.Answers) -> None:
    way = dispatch.ways()[answering.given()["way"]]

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        return {"time": await dispatch.microseconds(way)}

    await answers.loop(run)


if __name__ == "__main__":
    answering.serve(main)
