# Runs the tests. The program never enters this interpreter, which asks it for values over a pipe. So
# whether the tests ran to their end is observed here, and reported on another pipe.

import ast
import builtins
import io
import types


class Over(BaseException):
    """The tests cannot go on, even if they catch this, as a bare `except` does."""

    first = None

    def __init__(self, reason):
        super().__init__(reason)
        Over.first = Over.first or self


class Gone(Over):
    """The program ended, or sends invalid answers."""

    outcome = "gone"


class Inexpressible(Over):
    """The tests pass a value that cannot be sent."""

    outcome = "unusable"


class Raised(Exception):
    """The program raised an exception of its own class, or one that ends a program."""


def main():
    verdict = os.fdopen(os.dup(2), "w")
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    line = Line()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    json.dump(judge(job, line), verdict)
    verdict.write("\n")
    verdict.flush()
    os._exit(0)


def judge(job, line):
    space = types.ModuleType("tests").__dict__
    try:
        names = job["names"] + prepare(job, space)
        tests = compile(job["tests"], "tests.py", "exec")
    except BaseException as error:
        return {"outcome": "unusable", "reason": describe(error)}
    ask = connect(line)
    if ask is None:
        return {"outcome": "absent", "reason": "the interpreter of the program did not start"}
    try:
        ask("load", job["code"])
        for name in names:
            if ask("has", name):
                space[name] = ask("name", name)
        exec(tests, space)
        said = {"outcome": "passed", "reason": ""}
    except BaseException as error:
        said = {"outcome": "failed", "reason": describe(error)}
    if Over.first is not None:
        said = {"outcome": Over.first.outcome, "reason": str(Over.first)}
    return said


def prepare(job, space):
    """Runs the setup and the imports of the reference. Returns the names that the reference defines."""
    exec(compile(job["setup"], "setup.py", "exec"), space)
    names = []
    for statement in ast.parse(job["reference"]).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            only = ast.Module([statement], type_ignores=[])
            exec(compile(only, "reference.py", "exec"), space)
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(statement.name)
        else:
            stored = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
            names += [node.id for node in stored if isinstance(node.ctx, ast.Store)]
    return names


def connect(line):
    """Returns a function that asks the program, or None if the program did not start."""
    if line.receive() != ["ready"]:
        return None

    def ask(what, *arguments, changing=None):
        line.send([what, *arguments])
        try:
            said = line.receive()
        except Exception as error:
            raise Gone(f"it answered with what is no answer: {error}") from None
        if said is None:
            raise Gone("the program ended before the tests did")
        try:
            if said[0] == "raised":
                failure = exception(said[1], said[2])
            else:
                failure, value = None, decode(said[1], resolve)
                for index, state in said[2]:
                    change(changing[index], decode(state, resolve))
        except Exception as error:
            raise Gone(f"it answered with what is no answer: {error!r}") from None
        if failure is not None:
            raise failure
        return value

    def resolve(tag, number):
        if tag != "object" or type(number) is not int:
            raise ValueError("no value")
        return Remote(ask, number)

    return ask


def exception(kinds, text):
    for kind in kinds:
        known = getattr(builtins, kind, None)
        if isinstance(known, type) and issubclass(known, Exception):
            try:
                return known(text)
            except TypeError:
                break
    return Raised(f"{kinds[0]}: {text}")


def change(argument, state):
    if type(argument) is not type(state):
        return
    if isinstance(argument, (list, bytearray)):
        argument[:] = state
    elif isinstance(argument, (dict, set)):
        argument.clear()
        argument.update(state)


def hand_over(value):
    return encode(value, refer)


def refer(value):
    if type(value) is Remote:
        return ["object", number_of(value)]
    name = getattr(value, "__name__", None)
    if isinstance(name, str) and getattr(builtins, name, None) is value:
        return ["builtin", name]
    raise Inexpressible(f"the tests pass a {type(value).__name__} to the program")


def number_of(remote):
    return object.__getattribute__(remote, "_number")


class Remote:
    """An object in the program's interpreter. It equals no value of this one."""

    def __init__(self, ask, number):
        object.__setattr__(self, "_ask", ask)
        object.__setattr__(self, "_number", number)

    def _do(self, what, *arguments):
        ask = object.__getattribute__(self, "_ask")
        return ask(what, hand_over(self), *map(hand_over, arguments))

    def __call__(self, *arguments, **named):
        ask = object.__getattribute__(self, "_ask")
        handed = hand_over(self), hand_over(list(arguments)), hand_over(named)
        return ask("call", *handed, changing=arguments)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._do("get", name)

    def __setattr__(self, name, value):
        self._do("set", name, value)

    def __getitem__(self, key):
        return self._do("item", key)

    def __iter__(self):
        iterator = self._do("iter")
        while True:
            try:
                yield iterator._do("next")
            except StopIteration:
                return

    def __len__(self):
        return self._do("len")

    def __bool__(self):
        return bool(self._do("bool"))

    def __repr__(self):
        return str(self._do("repr"))

    def __eq__(self, other):
        return type(other) is Remote and bool(self._do("equal", other))

    def __hash__(self):
        return number_of(self)


def describe(error):
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except BaseException:
        # The message of a failed test may be an object of the program.
        text = ""
    return (f"{kind}: {text}" if text else kind)[:300]


main()
