"""`workflow secrets exec`: any program with secrets in its environment, and with its output masked.

`command` is what is typed, `variables` which secret becomes which variable, `output` what may be shown when,
`monitor` the process that starts the program, `terminal` the real terminal, `relay` what stands between the two.
"""
