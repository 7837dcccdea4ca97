package multiprolab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// programDir is where the program in testdata is built; removed by TestMain.
var programDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "multiprolab-program")
	if err != nil {
		panic(err)
	}
	return dir
})

// builtPrograms are the program in testdata, plain and with the race detector.
var builtPrograms = map[bool]func() (string, error){false: buildOnce(false), true: buildOnce(true)}

func buildOnce(race bool) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		to := filepath.Join(programDir(), fmt.Sprintf("program-race-%v.exe", race))
		cmd := exec.Command("go", "build", fmt.Sprintf("-race=%v", race), "-ldflags=-w", "-o", to, "./testdata/program")
		if race {
			cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
		return to, nil
	})
}

// testProgram returns the path of a program with a main function of its own, see testdata/program.
// It is built at the first call.
func testProgram(t testing.TB, race bool) string {
	t.Helper()
	path, err := builtPrograms[race]()
	require.NoError(t, err)
	return path
}

// runTestProgram runs it to its end.
func runTestProgram(t testing.TB, args ...string) (out string, err error) {
	t.Helper()
	path := testProgram(t, false) // before the time runs
	b, err := exec.CommandContext(bounded(t), path, args...).CombinedOutput()
	return string(b), err
}
