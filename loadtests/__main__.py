"""`python3 -m loadtests COMMAND`: what the Makefile calls to measure, report and compare."""

from stack.command_line import run_command

COMMANDS = {
    "bench": "loadtests.run.bench:main",
    "report": "loadtests.report.page:main",
    "reference": "loadtests.report.reference:main",
    "compare": "loadtests.analysis.compare:main",
    "bench-ui": "loadtests.ui.page:main",
}

run_command("loadtests", COMMANDS, without_engine={"report", "reference", "compare"})
