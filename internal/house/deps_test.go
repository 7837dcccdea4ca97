// Not with the race detector, with which the source is the same.

//go:build !race

package house_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program that imports this package is linked statically if it was before: package net brings
// runtime/cgo and with it the dynamic linker, which each start of a worker waits for.
func TestNoDynamicLinker(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, strings.Fields(string(out)), "runtime/cgo")
	require.NotContains(t, strings.Fields(string(out)), "net")
}
