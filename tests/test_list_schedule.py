"""List schedules: tasks begin when their predecessors ended and their resource is free."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

import memcore
from memcore import Task, list_schedule


def test_layer_by_layer_pipelined_and_replicated():
    def tasks(resource):
        made = []
        for image in range(4):
            for stage in range(3):
                after = (len(made) - 1,) if stage else ()
                made.append(
                    Task(
                        stage=str(stage),
                        item=image,
                        duration=1,
                        resource=resource(stage),
                        after=after,
                    )
                )
        return made

    assert list_schedule(tasks(lambda stage: "chip"), {"chip": 1}).end == 12
    stages = {str(stage): 1 for stage in range(3)}
    assert list_schedule(tasks(str), stages).end == 4 + 3 - 1
    assert list_schedule(tasks(str), dict.fromkeys(stages, 2)).end == 2 + 3 - 1


def test_of_tasks_that_could_begin_the_first_does():
    tasks = [
        Task(stage="long", duration=3, resource="r"),
        Task(stage="b", duration=1, resource="r"),
        Task(stage="a", duration=1, resource="r"),
    ]
    spans = list_schedule(tasks, {"r": 1}).spans
    assert [(span.stage, span.start, span.end) for span in spans] == [
        *(("long", 0, 3), ("b", 3, 4), ("a", 4, 5))
    ]


@st.composite
def problems(draw):
    resources = {"": 0, "a": 1, "b": draw(st.integers(1, 3))}
    tasks = []
    for index in range(draw(st.integers(1, 12))):
        after = draw(st.lists(st.integers(0, index - 1), max_size=3)) if index else []
        tasks.append(
            Task(
                stage=str(index),
                duration=draw(st.integers(0, 5)),
                resource=draw(st.sampled_from(sorted(resources))),
                after=tuple(after),
            )
        )
    return tasks, {name: count for name, count in resources.items() if name}


@given(problems())
def test_predecessors_have_ended_and_resources_suffice(problem):
    tasks, resources = problem
    spans = list_schedule(tasks, resources).spans
    for task, span in zip(tasks, spans, strict=True):
        assert span.end == span.start + task.duration
        assert all(spans[before].end <= span.start for before in task.after)
    for name, count in resources.items():
        used = [s for t, s in zip(tasks, spans, strict=True) if t.resource == name]
        for span in used:
            assert sum(s.start <= span.start < s.end for s in used) <= count


def test_nobody_waits_while_a_resource_is_free():
    tasks = [
        Task(stage="slow", duration=5),
        Task(stage="late", duration=1, resource="r", after=(0,)),
        Task(stage="early", duration=1, resource="r"),
    ]
    timeline = list_schedule(tasks, {"r": 1})
    assert timeline.ends() == {"slow": 5, "late": 6, "early": 1}
    assert timeline.stages == ("slow", "late", "early")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task(stage="x", duration=1, resource="q"), r"task 0 needs 'q', of which there is none"),
        (Task(stage="x", duration=1, after=(3,)), r"comes after \(3,\); expected indices of the 1"),
        (Task(stage="x", duration=-1), r"duration of task 0=-1; expected a finite number >= 0"),
        (Task(stage="x", duration=1, after=(0,)), r"task 0 waits for itself"),
    ],
)
def test_tasks_that_can_never_begin_are_refused(task, message):
    with pytest.raises(memcore.ConfigError, match=message):
        list_schedule([task], {"r": 1})


def test_nothing_takes_no_time():
    assert list_schedule([], {}).end == 0


def test_what_is_no_task_or_no_table_of_resources_is_named():
    with pytest.raises(memcore.ArgumentTypeError, match=r"task 0 is 3; expected a memcore\.Task"):
        memcore.list_schedule([3], {})
    with pytest.raises(memcore.ConfigError, match="duration of task 0='x'; expected a finite"):
        memcore.list_schedule([Task(stage="a", duration="x")], {})
    with pytest.raises(memcore.ArgumentTypeError, match=r"resources=3; expected a mapping"):
        memcore.list_schedule([], 3)
