//go:build unix

package multiprolab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// printUnixAs prints in the ways that pass Go's os.Stdout by.
func printUnixAs(kind, arg string) error {
	switch kind {
	case "command":
		cmd := exec.Command("echo", arg)
		cmd.Stdout = os.Stdout
		return cmd.Run()
	case "descriptor": // as C's printf does
		_, err := syscall.Write(1, []byte(arg+"\n"))
		return err
	case "stdin": // what a command inherits there is empty, and not the wire
		cmd := exec.Command("cat")
		cmd.Stdin = os.Stdin
		out, err := cmd.Output()
		fmt.Printf("stdin had %d bytes\n", len(out))
		return err
	case "stderr":
		_, err := os.Stderr.WriteString(strings.Repeat("many errors\n", 20_000))
		return err
	}
	return fmt.Errorf("no such print: %s", kind)
}

// E01: so do the prints of child commands and of what writes to descriptor 1 itself; nobody can
// read the wire by stdin.
func TestE01_PrintsPastGo(t *testing.T) {
	l := newLab(t, nil, workers("printer", 1))
	require.NoError(t, l.Start(context.Background()))
	defer l.Close()
	for _, what := range []string{"command hello from a command", "descriptor hello from C", "stdin"} {
		got, err := multiprolab.Do[string](bounded(t), l, "print", what)
		require.NoError(t, err)
		require.Equal(t, what, got)
	}
	require.NoError(t, l.Close())
	require.Equal(
		t,
		[]string{
			"before main",
			"in setup",
			"hello from a command",
			"hello from C",
			"stdin had 0 bytes",
			"at exit, without an end of line",
		},
		linesOf(l.stdout, "printer/0"),
	)
}
