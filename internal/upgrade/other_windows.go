package upgrade

import (
	"errors"
	"fmt"
	"math"
	"os"
)

// Supported returns an error if this system cannot do it.
func Supported() error {
	return fmt.Errorf("Windows cannot execute another file in the place of a process: end the program, and start "+
		"the new one: %w", errors.ErrUnsupported)
}

// Exec returns the error of Supported.
func Exec(string, []string, *Handed, func() error) error { return Supported() }

// keep returns the error of Supported.
func keep([]int) error { return Supported() }

// duplicate returns the error of Supported.
func duplicate(*os.File) (int, error) { return 0, Supported() }

// room returns that there is no bound.
func room() int { return math.MaxInt }

// unnamed returns the error of Supported.
func unnamed() (*os.File, error) { return nil, Supported() }
