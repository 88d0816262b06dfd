"""Full-screen commands: a browser of the history, and a resolver of conflicts.

========== ==========================================================================
module     what is in it
========== ==========================================================================
opening    what has to be there before a screen opens; the only module others import
app        the program on the terminal
base       what all screens share: jobs in threads, errors, questions
asking     questions: yes or no, a line of text, the keys
rows       a list of lines, drawn as far as it is seen
reading    what the screens show, read some at a time; no terminal
log        the history, with the details of a version
lines      versions as lines of a list
moving     what the browser does to a collection; no terminal
difference two versions, and the documents that differ
document   a document: what changed, and its versions
resolver   conflicts that wait, and what is decided
deciding   decisions that are not saved yet, and saving them; no terminal
========== ==========================================================================
"""
