"""Commands with which people watch, ask and find faults; they speak to the HTTP API, or to the machine of the stack."""
