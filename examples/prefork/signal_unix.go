//go:build unix

package main

import (
	"os"
	"syscall"
)

// upgradeSignal asks for the new version of the program.
var upgradeSignal os.Signal = syscall.SIGUSR2
