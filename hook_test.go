package multiprolab_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// builtHooked builds the program in testdata/hooked.
var builtHooked = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(programDir(), "hooked.exe")
	out, err := exec.Command("go", "build", "-ldflags=-w", "-o", path, "./testdata/hooked").CombinedOutput()
	if err != nil {
		path = string(out)
	}
	return path, err
})

// runHooked runs a program of testdata/hooked to its end, and returns what it prints on stdout and
// stderr.
func runHooked(t *testing.T, name string) (stdout, all string, err error) {
	t.Helper()
	path, err := builtHooked()
	require.NoError(t, err, "%s", path)
	cmd := exec.CommandContext(bounded(t), path, name)
	var out, both buffer
	cmd.Stdout, cmd.Stderr = &tee{&out, &both}, &both
	err = cmd.Run()
	return out.String(), both.String(), err
}

// tee writes everything twice.
type tee [2]*buffer

func (t *tee) Write(p []byte) (int, error) {
	_, _ = t[0].Write(p)
	return t[1].Write(p)
}

// Workers leave the program at Hook: what main takes behind it, no worker asks for.
func TestHook(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"port":                     "port\n",
		"library":                  "main 42 true\nlooping true true\n",
		"library in a worker":      "worker 8 true\nmain 42 true\nlooping true true\n",
		"library before Run":       "made 2 true\n",
		"library whose makers die": "kill true\ngoexit true\npanic true\nleft 1\n",
		"stand-in":                 "b\na\n-5 <nil>\n",
		"two":                      "a b\n",
		"twice":                    "hooked\n",
		"in a setup function":      "inner 4\n",
		"main hooked, not inner":   "inner\n",
		"workers come past it":     "past\n",
		"hooked for workers only":  "workers\n",
		"in process":               "in process\n",
		"registered after":         "true false\n8 <nil>\n",
	} {
		t.Run(name, func(t *testing.T) {
			stdout, all, err := runHooked(t, name)
			require.NoError(t, err, "%s", all)
			require.Equal(t, want, stdout, "%s", all)
			if name == "registered after" {
				require.Contains(t, all, "RegisterError after Hook")
				require.Equal(t, 1, strings.Count(all, "main.go"))
			}
		})
	}
}

// What Hook is for, and what goes wrong around it, with the words that say so.
func TestHookMistakes(t *testing.T) {
	for name, want := range map[string]string{
		"port without a hook": `FAIL: listen tcp \S+: bind: `,
		"one name": `(?s)b: multiprolab: Config.Name is same: another Main of this program has this name, made at \S+main.go.*` +
			`same\nunhooked: multiprolab: Config.Name is same: another Main`,
		"missing": `this is the process of worker "extra" of the Main "missing", but no such worker was registered ` +
			`before Hook \(\S+main.go:\d+\), only \["w"\]: .*call RegisterWorker before it`,
		"registered late": `panic: multiprolab: worker "extra" is registered after Hook \(\S+main.go:\d+\): .*register it before \(\S+main.go`,
		"nested too deep": `Start: .*worker w is 1 deep already, as deep as Config.MaxDepth allows`,
		"default log":     `level=ERROR .*no start.* from=mine|from=mine .*no start`,
	} {
		t.Run(name, func(t *testing.T) {
			_, all, _ := runHooked(t, name)
			require.Regexp(t, want, all)
			require.NotContains(t, all, "panic: [")
		})
	}
}

// A package that calls Hook in an initialiser can be tested as it is, and so can one that imports
// it and has a Main of its own.
func TestHookInTestBinaries(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(bounded(t), "go", "test", "-vet=off", "-count=1",
		"./testdata/hooked/thumbs", "./testdata/hooked/user", "./testdata/hooked/testmain")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// The workers of a library do not outlive the process that has started them: main, or a worker.
func TestHookedWorkersEndWithMain(t *testing.T) {
	t.Parallel()
	path, err := builtHooked()
	require.NoError(t, err, "%s", path)
	cmd := exec.CommandContext(bounded(t), path, "for ever")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var makers [2]int
	_, err = fmt.Fscan(stdout, &makers[0], &makers[1])
	require.NoError(t, err)
	require.NotEqual(t, makers[0], makers[1])
	require.NoError(t, cmd.Process.Kill())
	for _, pid := range makers {
		eventually(t, "the end of all", func() bool { return !alive(pid) })
	}
	require.Error(t, cmd.Wait())
}

// A worker of a test that comes to the tests, because no hook before them is its own, ends with an
// error that says what to do.
func TestWorkerComesToTheTests(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(bounded(t), "go", "test", "-vet=off", "-count=1", "-v", "./testdata/hooked/late")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `Start: multiprolab: this is the process of worker w/0 of the Main "main", and has come to the tests: `+
		`call multiprolabtest.Main in TestMain, or Main.Hook`, string(out))
	require.Regexp(t, `Start: multiprolab: worker w/0 \(pid \d+\) did not start: its process ended before it reached Run`, string(out))
}

// In a test, Hook does nothing: the process of a worker would run the tests before it.
func TestHookInATest(t *testing.T) {
	app := multiprolab.New(nil)
	app.Hook()
	app.RegisterWorker("lab", setups["lab"], nil)
	require.NoError(t, app.Start(t.Context()))
	require.NoError(t, app.Close())
}
