//go:build !linux

package main

import (
	"fmt"
	"os"
)

func setPipeSize(*os.File, int) error {
	return fmt.Errorf("%w: the size of a pipe cannot be set on this system", errAbsent)
}
