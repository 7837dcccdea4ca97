//go:build unix

package multiprolab_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// TestSetup_OpenFiles: a limit of files, which the system must allow.
func TestSetup_OpenFiles(t *testing.T) {
	l := startLab(t, nil, pool{"surveyor", &multiprolab.WorkerConfig{Limits: multiprolab.Limits{OpenFiles: 77}}})
	r, err := multiprolab.Do[report](bounded(t), l, "report", nil)
	require.NoError(t, err)
	require.Equal(t, "77 77", r.System["files"])

	start := startError(t, &multiprolab.WorkerConfig{Limits: multiprolab.Limits{OpenFiles: math.MaxInt32}})
	require.ErrorContains(t, start, "OpenFiles 2147483647: ")
	require.NotZero(t, start.PID)
}

func init() {
	more := reportSystem
	reportSystem = func(m map[string]string) {
		more(m)
		var files syscall.Rlimit
		_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)
		m["files"] = fmt.Sprint(files.Cur, files.Max)
	}
}

// TestSetup_CPUTime: a worker that has used its processor time dies of it, and the error says so.
func TestSetup_CPUTime(t *testing.T) {
	t.Parallel()
	l := startLab(t, nil, pool{"surveyor", &multiprolab.WorkerConfig{Limits: multiprolab.Limits{CPUTime: time.Second}}})
	f, err := multiprolab.Submit[int](bounded(t), l, "guest-spin", nil, nil)
	require.NoError(t, err)
	_, err = outcome(t, f)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, "it has used more processor time than WorkerConfig.Limits.CPUTime (1s)", died.Reason)
	require.Equal(t, 2, l.who(t).Life)
}

// copyBinary makes the test's binary a file in a new directory with these permissions.
func copyBinary(t *testing.T, perm os.FileMode) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "mp")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	from, err := os.Open(exe)
	require.NoError(t, err)
	defer from.Close()
	path := filepath.Join(dir, "main")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, err)
	require.NoError(t, to.Close())
	require.NoError(t, os.Chmod(path, 0o755))
	require.NoError(t, os.Chmod(dir, perm))
	return path
}

const nobody = 65534

// The landlord's worker runs as nobody.
var _ = scenario("credential", func() {
	ctx := context.Background()
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords()})
	app.RegisterWorker("surveyor", setups["surveyor"], &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Dir: "/", Env: []string{gateVar + "="},
		Credential: &multiprolab.Credential{UID: nobody, GID: nobody, Groups: []uint32{nobody, 4711}}}})
	if err := app.Start(ctx); err != nil {
		fmt.Println("Start returned:", err)
		return
	}
	r := must(multiprolab.Do[report](ctx, app, "report", nil))
	fmt.Printf("uid %d, gid %d, groups %v\n", r.UID, r.GID, r.Groups)
	_, err := must(
		multiprolab.Submit[string](
			ctx,
			app,
			"guest-spin",
			nil,
			&multiprolab.TaskOptions{Timeout: time.Millisecond, Grace: time.Millisecond},
		),
	).Wait(ctx)
	fmt.Println("the task:", err)
	must(multiprolab.Submit[string](ctx, app, "visit", visit{os.Getenv(gateVar), "nobody"}, nil))
	select {}
})

// TestSetup_Credential: a worker runs as another user; it can be killed, and dies with main, like
// others.
func TestSetup_Credential(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("to start processes of another user takes root")
	}
	g := newGate(t)
	path := copyBinary(t, 0o755)
	p := launchMain(t, "credential", func(cmd *exec.Cmd) { cmd.Path = path }, gateVar+"="+g.addr())
	v := g.expect(t, "nobody")
	info, err := os.Stat(fmt.Sprintf("/proc/%d", v.pid))
	if err == nil { // Linux
		require.EqualValues(t, nobody, info.Sys().(*syscall.Stat_t).Uid)
	}
	require.NoError(t, p.Process.Kill())
	_ = p.wait(t)
	await(t, v.lost, "the end of the worker")
	gone(t, "the worker", v.pid)
	require.Contains(t, p.out.String(), "uid 65534, gid 65534, groups [4711 65534]\n")
	require.Regexp(
		t,
		`the task: multiprolab: task "guest-spin" ran past its timeout of 1ms on worker surveyor/0 \(pid \d+\), which was killed`,
		p.out.String(),
	)
}

// TestSetup_CredentialCannotExecute: who may not execute the program is told which directory is in
// the way.
func TestSetup_CredentialCannotExecute(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("to start processes of another user takes root")
	}
	path := copyBinary(t, 0o700)
	p := launchMain(t, "credential", func(cmd *exec.Cmd) { cmd.Path = path })
	require.NoError(t, p.wait(t))
	require.Regexp(
		t,
		`Start returned: multiprolab: worker surveyor/0 did not start: .*cannot execute the program: `+filepath.Dir(
			path,
		)+` .*is not executable for this user`,
		p.out.String(),
	)
	require.NotContains(t, p.out.String(), "life=2")
}
