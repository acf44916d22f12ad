"""From a spec to its runs: defaults filled in, overrides of the command line applied, values checked.

Nothing here imports a learner, so that planning and status need no torch; only a changed value of a learner that runs in lanes
asks the learner itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments import devices, external
from experiments.catalog import experiment_names, load_experiment
from experiments.checks import check_value, check_values, declarations
from experiments.errors import UserError, closest_names
from experiments.families import make_options, options_class
from experiments.registry import (
    ALGORITHMS,
    Wanted,
    added_later,
    algorithm,
    environment_added_later,
    environment_defaults,
    hyperparameter_defaults,
    in_lanes,
    learners,
    loop_of,
    make_learner,
)
from experiments.settings_text import Seeds, Sweep, parse_settings, single, written
from experiments.spec import MOST_RUNS, MOST_SEEDS, Arm, Experiment, Preset, Row, Run, Seed, Value

if TYPE_CHECKING:
    from algorithms.agent import LabelledSpaces, Spaces


def runs_of(experiment: Experiment, preset: str | Preset) -> list[Run]:
    """Expand a preset, or the one of that name, into its distinct runs, in the order of rows, arms and seeds."""
    preset = experiment.preset(preset) if isinstance(preset, str) else preset
    return list(dict.fromkeys(run for _, _, run in labelled_runs(preset)))


def labelled_runs(preset: Preset) -> list[tuple[Row, Arm, Run]]:
    """Expand a preset into runs, each with the row and the arm that asked for it; two arms may share a run."""
    labelled = []
    for row in preset.rows:
        for arm in row.arms:
            if seeds := row.seeds_of(arm):
                first = resolve(row, arm, seeds[0])  # once for all seeds, of which there may be thousands
                labelled += [(row, arm, dataclasses.replace(first, seed=seed)) for seed in seeds]
    return labelled


def resolve(row: Row, arm: Arm, seed: int) -> Run:
    """Make a run with every default filled in, apart from those of options that were added later."""
    name = external.reference(arm.algorithm) if arm.algorithm not in ALGORITHMS else arm.algorithm
    hyperparameters = _filled(hyperparameter_defaults(name), arm.hyperparameters, external.class_name(name), added_later(name))
    environment = _filled(environment_defaults(row.env_id), row.environment, row.env_id, environment_added_later(row.env_id))
    return Run(
        algorithm=name,
        hyperparameters=hyperparameters,
        env_id=row.env_id,
        environment=_timed(name, hyperparameters, environment, row.environment),
        steps=row.steps_of(arm),
        seed=seed,
        code=external.digest(name) if external.is_external(name) else "",
    )


def _timed(
    name: str,
    hyperparameters: tuple[tuple[str, Value], ...],
    environment: tuple[tuple[str, Value], ...],
    given: Mapping[str, Value],
) -> tuple[tuple[str, Value], ...]:
    """Return the options of an environment with what its device, if it has one, says of the run's learner."""
    record, options = algorithm(name), dict(environment)
    if not options.get("device") or record.loop.measures:
        return environment
    return tuple(sorted(devices.filled(options, given, name, _settings(name, dict(hyperparameters))).items()))


def _settings(name: str, hyperparameters: Mapping[str, Value]) -> Any:
    """Return the settings of an algorithm; raise `UserError` where values are out of range or do not go together."""
    kind = algorithm(name).settings
    check_values(kind, hyperparameters)
    try:
        return kind(**hyperparameters)
    except ValueError as error:
        raise UserError(f"{name} cannot run so: {error}.") from None


def _filled(
    defaults: Mapping[str, Value], changes: Mapping[str, Value], owner: str, added_later: frozenset[str]
) -> tuple[tuple[str, Value], ...]:
    merged = dict(defaults)
    for key, value in changes.items():
        if key not in defaults:
            raise UserError(f"{owner} has no option {key!r}{closest_names(key, defaults)}.")
        merged[key] = typed(key, value, defaults[key])
    # A run trained before an option existed is the same run as one in which the option has its default.
    return tuple(sorted((k, v) for k, v in merged.items() if k not in added_later or v != defaults[k]))


def typed(key: str, value: Value, like: Value) -> Value:
    """Return a value in the type of an option's default, or say what type it must have."""
    if isinstance(like, bool) or isinstance(value, bool):
        fits = isinstance(like, bool) and isinstance(value, bool)
    elif isinstance(like, float):
        fits = isinstance(value, int | float)
        try:
            value = float(value) if fits else value  # type: ignore[arg-type]
        except OverflowError:
            raise UserError(f"{key} must be a finite number; {str(value)[:20]}... is too large.") from None
    elif isinstance(like, tuple):
        value = tuple(value) if isinstance(value, list) else value
        fits = isinstance(value, tuple) and all(isinstance(item, bool | int | float | str) for item in value)
    else:
        if isinstance(like, int) and isinstance(value, float) and value.is_integer():
            value = int(value)  # 1e5
        fits = like is None or isinstance(value, type(like))
    if not fits:
        raise UserError(f"{key} must be of type {type(like).__name__}, like {like!r}; {value!r} is not.")
    return value


def with_learners(preset: Preset, names: Sequence[str]) -> Preset:
    """Return a preset with more learners beside the arms of every row, under their own labels and with their defaults."""
    arms = tuple(Arm(algorithm(name).label, name, emphasised=True) for name in names)
    labels = [arm.label for arm in arms]
    taken = {arm.label for row in preset.rows for arm in row.arms} | {one for one in labels if labels.count(one) > 1}
    for arm in arms:
        if arm.label in taken:
            raise UserError(f"there is another arm {arm.label!r}; give {external.class_name(arm.algorithm)} another `label`.")
    return dataclasses.replace(preset, rows=tuple(dataclasses.replace(row, arms=(*row.arms, *arms)) for row in preset.rows))


def where_they_fit(preset: Preset, names: Sequence[str]) -> Preset:
    """Return a preset in which these learners stand only in rows whose environment wants what they give."""
    from experiments.environments import describe

    rows = list(preset.rows)
    for name in names:
        gives = algorithm(name).gives
        wanted = [describe(row.env_id, **dict(resolve(row, row.arms[0], 0).environment)).wants for row in rows]
        if not any(kind in gives for kind in wanted):
            raise UserError(
                f"{external.class_name(name)} gives {_either(gives)}; the environments of this preset want "
                f"{_either(tuple(dict.fromkeys(wanted)))}. Choose another experiment, or correct `gives` of the learner."
            )
        rows = [
            dataclasses.replace(row, arms=tuple(arm for arm in row.arms if arm.algorithm != name or kind in gives))
            for row, kind in zip(rows, wanted, strict=True)
        ]
    return dataclasses.replace(preset, rows=tuple(row for row in rows if row.arms))


def override(
    preset: Preset, settings: Mapping[str, Value | Sweep], seeds: Seeds | None = None, learners: Sequence[str] = ()
) -> Preset:
    """Return a preset with rows, arms and environments changed as asked on the command line.

    A key is `steps`, `bin_width`, `first_seed`, `env_id` (leaves out all rows of other environments; one that has no row gets
    the first row's arms, budget and options), `algorithm` (leaves out all other arms), an option of at least one row's
    environment (set in all rows that have it), a hyperparameter of at least one arm's algorithm (set in all arms that have it),
    or `ALGORITHM.KEY`. Whatever their order, `env_id` comes first: it decides which options there are. A `Sweep` makes an arm
    of each value of a hyperparameter, and a row of each value of an option.
    `seeds` is the number of seeds of every arm, or their numbers.
    `learners` are added to the arms of all rows that they fit.
    """
    rows = with_learners(preset, learners).rows if learners else preset.rows
    for key, value in sorted(settings.items(), key=lambda item: item[0] != "env_id"):
        values = value.values if isinstance(value, Sweep) else (value,)
        if key == "algorithm":
            rows = _only(rows, values)
        elif key == "env_id":
            rows = tuple(found for one in values for found in _rows_of(rows, str(typed(key, one, ""))))
        elif key in ("steps", "bin_width", "first_seed"):
            if isinstance(value, Sweep):
                raise UserError(f"{key} takes one value; {written(value)} are {len(values)}.")
            number = typed(key, value, 0)
            check_value(key, number, declarations(Row)[key])
            changed: dict[str, Any] = {key: number} | ({"fewer_steps": {}} if key == "steps" else {})
            rows = tuple(dataclasses.replace(row, **changed) for row in rows)
        elif any(key in environment_defaults(row.env_id) for row in rows):
            rows = tuple(changed for row in rows for changed in _with_option(row, key, value))
        else:
            options = {option for row in rows for option in environment_defaults(row.env_id)}
            rows = _override_arms(rows, key, value, options)
    rows = _with_seeds(rows, seeds, "first_seed" in settings)
    rows = tuple(dataclasses.replace(row, bin_width=min(row.bin_width, row.steps)) for row in rows)
    runs = sum(len(row.seeds_of(arm)) for row in rows for arm in row.arms)
    if runs > MOST_RUNS:
        raise UserError(f"a command asks for at most {MOST_RUNS:,} runs; these are {runs:,}. Choose fewer seeds or values.")
    preset = dataclasses.replace(preset, rows=rows)
    return where_they_fit(preset, learners) if learners else preset


def _with_seeds(rows: tuple[Row, ...], seeds: Seeds | None, counted: bool) -> tuple[Row, ...]:
    if seeds is None:
        return rows
    if isinstance(seeds, tuple):
        if counted:
            raise UserError("first_seed says where seeds are counted from, and --seeds which they are; leave one of them out.")
        for seed in seeds:
            check_value("a seed", seed, Seed)
        changed: dict[str, Any] = {"seeds": len(seeds), "chosen_seeds": seeds, "fewer_seeds": {}}
        return tuple(dataclasses.replace(row, **changed) for row in rows)
    if seeds <= 0:
        raise UserError(f"the number of seeds must be positive; {seeds} is not.")
    if seeds > MOST_SEEDS:
        raise UserError(f"the number of seeds must be at most {MOST_SEEDS:,}; {seeds:,} is not.")
    return tuple(dataclasses.replace(row, seeds=seeds, fewer_seeds={}) for row in rows)


def _rows_of(rows: tuple[Row, ...], env_id: str) -> tuple[Row, ...]:
    # Rows that are there keep what is set for them, such as the published simulator's options, and so name the same runs.
    return tuple(row for row in rows if row.env_id == env_id) or (_elsewhere(rows[0], env_id),)


def _elsewhere(row: Row, env_id: str) -> Row:
    # What was set for one kind of environment means nothing in another.
    known = environment_defaults(env_id)
    kept = {key: value for key, value in row.environment.items() if key in known}
    return dataclasses.replace(row, env_id=env_id, environment=kept, panel="")


def _with_option(row: Row, key: str, value: Value | Sweep) -> tuple[Row, ...]:
    """Return a row with an option of its environment set, or a row for each value of a sweep, each with a panel of its own."""
    if key not in environment_defaults(row.env_id):
        return (row,)
    if not isinstance(value, Sweep):
        return (dataclasses.replace(row, environment={**row.environment, key: value}),)
    return tuple(
        dataclasses.replace(row, environment={**row.environment, key: one}, panel=f"{row.panel_name}, {key}={written(one)}")
        for one in value.values
    )


def _only(rows: tuple[Row, ...], names: Sequence[Value]) -> tuple[Row, ...]:
    known = dict.fromkeys(external.class_name(arm.algorithm) for row in rows for arm in row.arms)
    for name in names:
        if not isinstance(name, str) or external.class_name(name) not in known:
            raise UserError(f"no arm uses the algorithm {name!r}{closest_names(str(name), known)}.")
    own = {external.class_name(str(name)) for name in names}
    kept = (
        dataclasses.replace(row, arms=tuple(arm for arm in row.arms if external.class_name(arm.algorithm) in own))
        for row in rows
    )
    return tuple(row for row in kept if row.arms)


def _override_arms(
    rows: tuple[Row, ...], key: str, value: Value | Sweep, environment_options: Iterable[str]
) -> tuple[Row, ...]:
    algorithm, _, name = key.rpartition(".")
    algorithms = {arm.algorithm for row in rows for arm in row.arms}
    concerned = {a for a in algorithms if algorithm in ("", a, external.class_name(a)) and name in hyperparameter_defaults(a)}
    if not concerned:
        known = sorted(
            {"steps", "bin_width", "first_seed", "env_id", "algorithm", *environment_options}
            | {option for a in algorithms for option in hyperparameter_defaults(a)}
        )
        raise UserError(f"--set knows no key {key!r}{closest_names(key, known)}.")
    return tuple(_with_hyperparameter(row, concerned, name, value) for row in rows)


def _with_hyperparameter(row: Row, concerned: Collection[str], name: str, value: Value | Sweep) -> Row:
    """Return a row with a hyperparameter set in the arms concerned, of which a sweep makes one for each value."""
    arms: list[Arm] = []
    seeds, steps = dict(row.fewer_seeds), dict(row.fewer_steps)
    for arm in row.arms:
        if arm.algorithm not in concerned:
            arms.append(arm)
            continue
        for one in value.values if isinstance(value, Sweep) else (value,):
            label = f"{arm.label}, {name}={written(one)}" if isinstance(value, Sweep) else arm.label
            arms.append(dataclasses.replace(arm, label=label, hyperparameters={**arm.hyperparameters, name: one}))
            for fewer in (seeds, steps):
                if arm.label in fewer:
                    fewer[label] = fewer[arm.label]
    return dataclasses.replace(row, arms=tuple(arms), fewer_seeds=seeds, fewer_steps=steps)


def measured_run(run: Run) -> Run | None:
    """Return a run of the learner that a measurement is about, or None where it is about none."""
    settings = make_learner(run) if algorithm(run.algorithm).loop.measures else None
    learner = getattr(settings, "learner", None)
    if settings is None or learner is None:
        return None
    if learner not in learners():
        raise UserError(f"there is no learner {learner!r}{closest_names(learner, learners())}.")
    # Long enough that schedules which depend on the length of a run stand at their beginning.
    row = Row(run.env_id, (), steps=10**9, seeds=1, bin_width=1, environment=dict(run.environment))
    return resolve(row, Arm("", learner, single(parse_settings(settings.settings))), run.seed)


_WORDS: dict[Wanted, str] = {
    "vector": "a vector as action",
    "choice": "a choice of one action among several",
    "prediction": "a prediction",
    "label": "a prediction of labels",
}


def _either(kinds: Sequence[Wanted]) -> str:
    return " or ".join(_WORDS[kind] for kind in kinds)


def check_spaces(run: Run, spaces: Spaces | LabelledSpaces, others: Collection[str] = ()) -> None:
    """Raise `UserError` where an algorithm does not give what an environment wants; `others` are the algorithms at hand."""
    if loop_of(run).measures:
        if measured := measured_run(run):
            check_spaces(measured, spaces)
        return
    gives = algorithm(run.algorithm).gives
    if spaces.wants not in gives:
        raise UserError(
            f"{run.name} gives {_either(gives)}; {run.env_id} wants {_WORDS[spaces.wants]}. "
            f"{_advice(run, spaces.wants, others)}"
        )
    if dict(run.hyperparameters).get("cell", "none") != "none" and len(getattr(spaces, "obs_shape", ())) != 1:
        raise UserError(f"a recurrent cell sees vectors, and {run.env_id} shows images; leave cell at none there.")


def _advice(run: Run, wants: Wanted, others: Collection[str]) -> str:
    """Return what to do about an algorithm that does not fit an environment: which one does."""
    if fitting := [name for name in others if wants in algorithm(name).gives]:
        return f"Leave out those that do not fit with --set algorithm={','.join(fitting)}."
    fitting = [name for name, record in learners().items() if wants in record.gives]
    if not others:
        return f"Choose another environment, or another learner: {', '.join(fitting)}."
    for name in experiment_names():
        arms = (arm for preset in load_experiment(name).presets.values() for row in preset.rows for arm in row.arms)
        if found := next((arm.algorithm for arm in arms if arm.algorithm in fitting), None):
            return f"Choose an experiment with a learner that does: {name} --set algorithm={found} --set env_id={run.env_id}."
    return "Choose another environment."


def check_hyperparameters(run: Run) -> None:
    """Raise `UserError` where a value is of the right type but means nothing: out of its range, or not one of the choices."""
    _settings(run.algorithm, dict(run.hyperparameters))
    check_values(options_class(run.env_id), dict(run.environment))
    make_options(run.env_id, dict(run.environment))
    if measured := measured_run(run):
        check_hyperparameters(measured)
    if in_lanes(run) and _changes(run) != {"implementation"}:  # the defaults are sound, and torch can wait
        try:
            make_learner(run).check()
        except ValueError as error:
            raise UserError(f"{run.name} cannot run so: {error}.") from None


def _changes(run: Run) -> set[str]:
    defaults = hyperparameter_defaults(run.algorithm)
    return {name for name, value in run.hyperparameters if value != defaults[name]}
