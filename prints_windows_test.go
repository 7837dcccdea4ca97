package multiprolab_test

import (
	"fmt"
	"os"
	"strings"
)

// printUnixAs prints in the ways that need no Unix.
func printUnixAs(kind, _ string) error {
	if kind == "stderr" {
		_, err := os.Stderr.WriteString(strings.Repeat("many errors\n", 20_000))
		return err
	}
	return fmt.Errorf("no such print: %s", kind)
}
