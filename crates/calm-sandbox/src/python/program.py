# Runs the generated program, at the request of the checker, which believes nothing that is sent from
# here beyond the values themselves.


def serve():
    import builtins
    import types

    line = Line()
    # The program's own input and output are separate from the pipes of the checker.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)

    space = types.ModuleType("program").__dict__
    objects = []

    def refer(value):
        objects.append(value)
        return ["object", len(objects) - 1]

    def resolve(tag, what):
        return objects[what] if tag == "object" else getattr(builtins, what)

    def call(function, arguments, named):
        before = [encode(argument, refer) for argument in arguments]
        result = function(*arguments, **named)
        after = [encode(argument, refer) for argument in arguments]
        # The caller sees the changes that the function made to its arguments.
        changed = [[i, a] for i, (a, b) in enumerate(zip(after, before)) if a != b]
        return result, changed

    def answer(what, arguments):
        changed = []
        if what == "load":
            exec(compile(arguments[0], "program.py", "exec"), space)
            result = None
        elif what == "has":
            result = arguments[0] in space
        elif what == "name":
            result = space[arguments[0]]
        else:
            target, *arguments = [decode(argument, resolve) for argument in arguments]
            if what == "call":
                result, changed = call(target, *arguments)
            elif what == "iter":
                result = iter(target)
            elif what == "next":
                result = next(target)
            elif what == "get":
                result = getattr(target, *arguments)
            elif what == "set":
                result = setattr(target, *arguments)
            elif what == "item":
                result = target[arguments[0]]
            elif what == "equal":
                result = bool(target == arguments[0])
            else:
                result = {"len": len, "bool": bool, "repr": repr}[what](target)
        return ["value", encode(result, refer), changed]

    line.send(["ready"])
    while (asked := line.receive()) is not None:
        try:
            said = answer(asked[0], asked[1:])
        except BaseException as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            try:
                text = str(error)[:300]
            except BaseException:
                text = ""
            said = ["raised", kinds, text]
        line.send(said)


serve()
