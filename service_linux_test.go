package multiprolab_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab"
)

// TestReload_Terminal: for a program with a terminal SIGHUP means that this is gone, and ends it;
// whoever sends it.
func TestReload_Terminal(t *testing.T) {
	for _, by := range []string{"a signal", "the terminal"} {
		t.Run(by, func(t *testing.T) {
			master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
			if err != nil {
				t.Skip("there are no pseudo-terminals here: ", err)
			}
			defer master.Close()
			require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
			n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
			require.NoError(t, err)
			terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
			if err != nil {
				t.Skip("there are no pseudo-terminals here: ", err)
			}
			defer terminal.Close()
			g := newGate(t)
			p := launchService(t, g, func(cmd *exec.Cmd) {
				cmd.Stdin = terminal
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			})
			if by == "a signal" {
				require.NoError(t, signalProcess(p.Process.Pid, "SIGHUP"))
			} else {
				require.NoError(t, terminal.Close())
				require.NoError(t, master.Close())
			}
			require.NoError(t, p.wait(t))
			require.Contains(t, p.out.String(), "Run returned: <nil>")
			require.NotContains(t, p.out.String(), "SIGHUP: the workers are restarted")
			require.NotContains(t, p.out.String(), "life=2")
			g.quiet(t)
		})
	}
}

// The init is process 1 of its namespace. It has orphans, and a child of its own that it waits for
// late.
var _ = scenario("init", func() {
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords()})
	app.RegisterWorker("guest", setups["guest"], &multiprolab.WorkerConfig{Count: 2, Process: multiprolab.ProcessConfig{Env: []string{gateVar + "="}}})
	app.After(0, func(ctx context.Context) error {
		own := exec.Command("/bin/sh", "-c", "exit 7")
		if err := own.Start(); err != nil {
			return err
		}
		must(visit{os.Getenv(gateVar), fmt.Sprintf("%d before", os.Getpid())}.wait())
		for range 5 {
			if err := exec.Command("/bin/sh", "-c", "sleep 0.01 & exit 0").Run(); err != nil {
				return err
			}
		}
		must(visit{os.Getenv(gateVar), "orphans"}.wait())
		fmt.Println("own child:", own.Wait())
		must(visit{os.Getenv(gateVar), "waited"}.wait())
		return nil
	})
	fmt.Println("Run returned:", app.Run(context.Background()))
})

// offspring counts the children of a process: those that run, and the zombies.
func offspring(pid int) (living, zombies int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		switch {
		case len(fields) < 2 || fields[1] != strconv.Itoa(pid):
		case fields[0] == "Z":
			zombies++
		default:
			living++
		}
	}
	return living, zombies
}

// TestService_Init: as process 1 main reaps the orphans of others, leaves its own children to those
// who wait for them, and heeds SIGTERM.
func TestService_Init(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a PID namespace takes root")
	}
	g := newGate(t)
	p := launchMain(
		t,
		"init",
		func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID} },
		gateVar+"="+g.addr(),
	)
	v := g.expect(t, "1 before")
	has := func(living, zombies int) func() bool {
		return func() bool {
			l, z := offspring(p.Process.Pid)
			return l == living && z == zombies
		}
	}
	eventually(t, "the end of main's own child", has(2, 1))
	v.tell("go on")
	v = g.expect(t, "orphans")
	eventually(t, "all orphans to be reaped, and none else", has(2, 1))
	v.tell("go on")
	v = g.expect(t, "waited")
	eventually(
		t,
		"main to say how it ended",
		func() bool { return strings.Contains(p.out.String(), "own child: exit status 7\n") },
	)
	eventually(t, "main to have its workers alone", has(2, 0))
	require.NoError(t, signalProcess(p.Process.Pid, "SIGTERM"))
	v.tell("go on")
	require.NoError(t, p.wait(t))
	require.Contains(t, p.out.String(), "Run returned: <nil>")
	require.NotContains(t, p.out.String(), "level=ERROR")
}
