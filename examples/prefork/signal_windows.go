package main

import "os"

// upgradeSignal is none: Windows cannot execute another file in the place of a process.
var upgradeSignal os.Signal
