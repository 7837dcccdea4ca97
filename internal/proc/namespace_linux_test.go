package proc_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab/internal/proc"
)

func init() {
	children["panic"] = func() { panic("on purpose") }
	children["fault"] = func() {
		memory, _ := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
		fmt.Println(memory[0])
	}
	children["signal self"] = func() {
		n, _ := strconv.Atoi(os.Getenv("SIGNAL"))
		_ = unix.Kill(os.Getpid(), unix.Signal(n))
		hang()
	}
	children["far family"] = farFamily
	children["middle of"] = middleOf
	mains["namespace"] = startNamespace
	mains["no namespaces"] = noNamespaces
	mains["not admin"] = onlyNotAdmin
}

// farFamily starts a grandchild that is in another session, says so, and hangs.
func farFamily() {
	cmd := sleepCommand()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	_, w := proc.Wire()
	fmt.Fprintln(w, "ready")
	hang()
}

// middleOf starts the worker CHILD with the rest of the environment, and writes its pid as seen
// from the test on the wire.
func middleOf() {
	_, w := proc.Wire()
	spec := proc.Spec{
		Role:         role(os.Getenv("CHILD")),
		Inherited:    childEnv(),
		Path:         os.Getenv("BINARY"),
		PIDNamespace: os.Getenv("NAMESPACE") != "",
	}
	if os.Getenv("NOBODY") != "" {
		spec.Credential = &nobody
	}
	p, err := proc.NewSpawner().Start(&spec)
	if err != nil {
		fmt.Fprintln(w, err)
		return
	}
	text, _ := bufio.NewReader(p.Out).ReadString('\n')
	fmt.Fprintf(w, "%d %s", p.Pid, text)
	hang()
}

// startNamespace starts a worker and prints what it says about itself.
func startNamespace() {
	s := proc.NewSpawner()
	defer s.Close()
	spec := proc.Spec{Role: role("who"), PIDNamespace: true, Path: os.Getenv("BINARY")}
	if os.Getenv("NOBODY") != "" {
		spec.Credential = &proc.Credential{UID: nobody.UID, GID: nobody.GID, Groups: []uint32{7, 8, 7}}
	}
	p, err := s.Start(&spec)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := bufio.NewReader(p.Out).ReadString('\n')
	fmt.Print(text)
	fmt.Println(p.Kill())
	<-p.Done()
	fmt.Println(p.Status().Signal)
	p.Close()
}

// onlyNotAdmin starts this program again as it is, without CAP_SYS_ADMIN.
func onlyNotAdmin() {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0); err != nil {
		fmt.Println(err)
		return
	}
	_ = os.Setenv(mainVar, "namespace") // of equal names, this program would find the first
	fmt.Println(unix.Exec(os.Args[0], os.Args, os.Environ()))
}

// noNamespaces forbids namespaces to this process's user namespace, and then wants one.
func noNamespaces() {
	if err := os.WriteFile("/proc/sys/user/max_pid_namespaces", []byte("0"), 0); err != nil {
		fmt.Println("skip:", err)
		return
	}
	startNamespace()
}

// needNamespace skips the test where there are no PID namespaces for this process.
func needNamespace(t *testing.T) {
	t.Helper()
	s := newSpawner(t)
	p, err := s.Start(&proc.Spec{Role: role("exit"), PIDNamespace: true, Inherited: childEnv()})
	if err != nil {
		t.Skip(err)
	}
	wait(t, p)
	p.Close()
}

func TestNamespace(t *testing.T) {
	needNamespace(t)
	p := start(t, newSpawner(t), &proc.Spec{Role: role("who"), PIDNamespace: true})
	got := getWho(t, p)
	require.Equal(t, 1, got.Pid)
	require.Equal(t, 0, got.Ppid)
	require.Equal(t, fmt.Sprint(p.Pid), got.ProcSelf)
	require.Equal(t, os.Getuid(), got.UID)
	require.Equal(t, os.Getgid(), got.GID)
	p.In.Close()
	require.Equal(t, proc.Status{}.Signal, wait(t, p).Signal)
	require.Equal(t, 0, p.Status().ExitCode)
}

func TestNamespaceOfAnotherUser(t *testing.T) {
	needNamespace(t)
	needRoot(t)
	p := start(
		t,
		newSpawner(t),
		&proc.Spec{Role: role("who"), PIDNamespace: true, Credential: &nobody, Path: publicBinary(t)},
	)
	got := getWho(t, p)
	require.Equal(t, 1, got.Pid)
	require.EqualValues(t, nobody.UID, got.UID)
}

// TestNamespaceWithoutPrivileges has a main process that needs a user namespace for it.
func TestNamespaceWithoutPrivileges(t *testing.T) {
	needRoot(t)
	out, err := asNobody(publicBinary(t), "namespace").CombinedOutput()
	require.NoError(t, err)
	if strings.HasPrefix(string(out), "start worker process") {
		t.Skip(string(out))
	}
	text, rest, _ := strings.Cut(string(out), "\n")
	require.Equal(t, "<nil>\nSIGKILL\n", rest)
	var got who
	require.NoError(t, json.Unmarshal([]byte(text), &got), text)
	require.Equal(t, 1, got.Pid)
	require.EqualValues(t, nobody.UID, got.EUID)
	require.EqualValues(t, nobody.GID, got.EGID)
	require.Equal(t, []string{"65534", "65534", "1"}, strings.Fields(got.UIDMap))
}

// TestNamespaceWithSomePrivileges has a main process that may change the user, but needs a user
// namespace.
func TestNamespaceWithSomePrivileges(t *testing.T) {
	needRoot(t)
	path := publicBinary(t)
	for _, env := range []string{"NOBODY=", "NOBODY=1"} {
		cmd := exec.Command(path)
		cmd.Env = append(childEnv("BINARY="+path, env), mainVar+"=not admin")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err)
		text, rest, _ := strings.Cut(string(out), "\n")
		require.Equal(t, "<nil>\nSIGKILL\n", rest, text)
		var got who
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, 1, got.Pid)
		if env == "NOBODY=" {
			require.Equal(t, []string{"0", "0", "1"}, strings.Fields(got.UIDMap))
			continue
		}
		require.Equal(t, []string{"65534", "65534", "1"}, strings.Fields(got.UIDMap))
		require.EqualValues(t, nobody.UID, got.EUID)
		require.EqualValues(t, nobody.GID, got.EGID)
		require.Subset(t, []int{7, 8}, got.Groups)
		require.NotEmpty(t, got.Groups)
	}
}

func TestNamespaceLimitReached(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(childEnv(), mainVar+"=no namespaces")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.HasPrefix(string(out), "skip:") {
		t.Skipf("no user namespace with a limit of its own: %v %s", err, out)
	}
	require.Contains(t, string(out), "PIDNamespace: the limit of the number or of the depth")
	require.Contains(t, string(out), "no space left on device")
}

// TestNamespaceStatus ends workers in the several ways.
func TestNamespaceStatus(t *testing.T) {
	needNamespace(t)
	s := newSpawner(t)
	for _, tt := range []struct {
		name, child string
		env         []string
		send        func(*proc.Process) error
		code        int
		signal      string
		stderr      []string
	}{
		{"exit", "exit", []string{"CODE=7"}, nil, 7, "", nil},
		{"panic", "panic", nil, nil, 2, "", []string{"panic: on purpose", "goroutine 1"}},
		{"crash", "panic", []string{"GOTRACEBACK=crash"}, nil, 2, "", []string{"panic: on purpose"}}, // else: SIGABRT
		{"fault", "fault", nil, nil, 2, "", []string{"SIGSEGV", "fatal error: fault"}},
		{"SIGSEGV", "signal self", []string{"SIGNAL=11"}, nil, 2, "", []string{"SIGSEGV"}},
		{"SIGABRT", "signal self", []string{"SIGNAL=6"}, nil, 2, "", []string{"SIGABRT"}},
		{"Terminate", "hang", nil, (*proc.Process).Terminate, 2, "", nil}, // else: SIGTERM
		{"Quit", "hang", nil, (*proc.Process).Quit, 2, "", []string{"SIGQUIT", "proc_test.hang"}},
		{"Kill", "hang", nil, (*proc.Process).Kill, -1, "SIGKILL", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, s, &proc.Spec{Role: role(tt.child), PIDNamespace: true, Inherited: childEnv(tt.env...)})
			if tt.send != nil {
				line(t, p)
				require.NoError(t, tt.send(p))
			}
			text, err := io.ReadAll(p.Err)
			require.NoError(t, err)
			st := wait(t, p)
			require.Equal(t, tt.code, st.ExitCode, "%s", text)
			require.Equal(t, tt.signal, st.Signal)
			for _, want := range tt.stderr {
				require.Contains(t, string(text), want)
			}
		})
	}
}

// child returns the pid of the only child of a process.
func child(t *testing.T, pid int) (child int) {
	t.Helper()
	all := childrenOf(t, pid)
	require.Len(t, all, 1)
	_, err := fmt.Sscan(all[0], &child)
	require.NoError(t, err)
	return child
}

func TestNamespaceEndsOtherSessions(t *testing.T) {
	needNamespace(t)
	s := newSpawner(t)
	for _, send := range []func(*proc.Process) error{(*proc.Process).Kill, (*proc.Process).Terminate, (*proc.Process).Quit} {
		p := start(t, s, &proc.Spec{Role: role("far family"), PIDNamespace: true})
		line(t, p)
		grandchild := child(t, p.Pid)
		require.NoError(t, send(p))
		wait(t, p)
		require.False(t, exists(fmt.Sprint("/proc/", grandchild)), "it ends before its process 1 does")
	}
}

// TestNamespaceMainKilled kills main processes, with and without their workers.
func TestNamespaceMainKilled(t *testing.T) {
	needNamespace(t)
	s := newSpawner(t)
	for _, how := range []string{"idle", "stop", "both"} {
		t.Run(how, func(t *testing.T) {
			p := start(t, s, &proc.Spec{Role: role("middle of"), Inherited: childEnv("CHILD=far family", "NAMESPACE=1")})
			var worker int
			_, err := fmt.Sscan(line(t, p), &worker)
			require.NoError(t, err)
			grandchild := child(t, worker)
			if how == "stop" {
				require.NoError(t, unix.Kill(worker, unix.SIGSTOP))
				eventually(t, "the worker stops", func() bool { return state(worker) == "T" })
			}
			require.NoError(t, unix.Kill(p.Pid, unix.SIGKILL))
			if how == "both" {
				_ = unix.Kill(worker, unix.SIGKILL)
			}
			wait(t, p)
			eventually(t, "the worker ends", func() bool { return !running(worker) })
			eventually(t, "the grandchild ends", func() bool { return !running(grandchild) })
		})
	}
}

// TestCredentialMainKilled is TestMainKilled with a worker of another user: the signal at the
// parent's death reaches it.
func TestCredentialMainKilled(t *testing.T) {
	needRoot(t)
	s := newSpawner(t)
	path := publicBinary(t)
	for _, how := range []string{"idle", "busy", "stop"} {
		t.Run(how, func(t *testing.T) {
			p := start(t, s, &proc.Spec{Role: role("middle of"),
				Inherited: childEnv("CHILD=family", "HOW="+how, "NOBODY=1", "BINARY="+path)})
			var worker, again, grandchild int
			_, err := fmt.Sscan(line(t, p), &worker, &again, &grandchild)
			require.NoError(t, err)
			info, err := os.Stat(fmt.Sprint("/proc/", grandchild))
			require.NoError(t, err)
			require.Equal(t, nobody.UID, info.Sys().(*syscall.Stat_t).Uid)
			pgid, err := unix.Getpgid(worker)
			require.NoError(t, err)
			require.Equal(t, worker, pgid)
			if how == "stop" {
				eventually(t, "the worker stops", func() bool { return state(worker) == "T" })
			}
			require.NoError(t, unix.Kill(p.Pid, unix.SIGKILL))
			wait(t, p)
			eventually(t, "the worker ends", func() bool { return !running(worker) })
			eventually(t, "the grandchild ends", func() bool { return !running(grandchild) })
		})
	}
}

// TestNamespaceInNamespace has a worker in a namespace start one in a namespace of its own.
func TestNamespaceInNamespace(t *testing.T) {
	needNamespace(t)
	p := start(
		t,
		newSpawner(t),
		&proc.Spec{Role: role("middle of"), PIDNamespace: true, Inherited: childEnv("CHILD=who", "NAMESPACE=1")},
	)
	seen, text, _ := strings.Cut(line(t, p), " ")
	var got who
	require.NoError(t, json.Unmarshal([]byte(text), &got), text)
	require.Equal(t, 1, got.Pid)
	require.NotEqual(t, "1", seen)
	inner := child(t, p.Pid)
	require.Equal(t, fmt.Sprint(inner), got.ProcSelf)
	require.NoError(t, p.Kill())
	wait(t, p)
	require.False(t, exists(fmt.Sprint("/proc/", inner)))
}

// TestNamespaceOrphanRefusesToStart starts a worker whose parent has closed the wire, as it finds
// if that died meanwhile.
func TestNamespaceOrphanRefusesToStart(t *testing.T) {
	needNamespace(t)
	needRoot(t)
	for _, open := range []bool{false, true} {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		out, out2, err := os.Pipe()
		require.NoError(t, err)
		cmd := exec.Command(os.Args[0])
		cmd.Env = childEnv(proc.MarkerName+"="+proc.NamespaceMarkerText(role("exit"), os.Getpid()), "CODE=5")
		cmd.Stdin, cmd.Stdout, cmd.ExtraFiles = r, out2, []*os.File{out2}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
		if !open {
			w.Close()
		}
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Run(), &exit)
		want := proc.ExitOrphan
		if open {
			want = 5
		}
		require.Equal(t, want, exit.ExitCode())
		for _, f := range []*os.File{r, w, out, out2} {
			f.Close()
		}
	}
}
