"""The command line ``vc``: every verb of the library, for a terminal or a script.

Nothing else in the package reads the environment, a configuration file or the terminal.

========== ==========================================================================
module     what is in it
========== ==========================================================================
app        the program: its groups of commands, and `main`
command    what all commands share: the session, ``--json``, the connection options
examples   an example of each command
gitwords   words of git: which command does the same
session    one run: its settings and its server; `output`, what it prints; `streams`, where to
settings   flags, environment, configuration file: which one holds
profile    the configuration file
failures   errors in words, and their exit codes (`exits`)
wording    what errors of the library say, in the words of the command line
redact     keeping credentials out of everything that is printed
render     versions, diffs and tables for people; `graph` draws the tree
lines      documents and values as Extended JSON
policies   a merge policy from options
clashes    conflicts as texts; `settling`, how one is settled by hand
progress   progress on long work
completing names that a shell offers
screens    full screens: the browser of the history, the resolver of conflicts
========== ==========================================================================

The commands are in ``tracking``, ``looking``, ``browsing``, ``comparing``, ``references``,
``stashing``, ``undoing``, ``guarding``, ``merging``, ``conflicts``, ``care``, ``erasing``,
``preferences`` and ``demo``.
"""
