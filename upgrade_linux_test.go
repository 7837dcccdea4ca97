package multiprolab_test

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// upgradePrograms are two versions of the program in testdata/upgrade.
var upgradePrograms = sync.OnceValues(func() (built [3]string, err error) {
	for version := 1; version < len(built); version++ {
		built[version] = filepath.Join(programDir(), fmt.Sprint("upgrade-", version))
	}
	const mark = "upgrade program, version "
	flags := "-ldflags=-w -X 'main.linked=" + mark + "1'"
	if out, err := exec.Command("go", "build", flags, "-o", built[1], "./testdata/upgrade").CombinedOutput(); err != nil {
		return built, fmt.Errorf("%w: %s", err, out)
	}
	program, err := os.ReadFile(built[1])
	if err != nil {
		return built, err
	}
	program = bytes.ReplaceAll(program, []byte(mark+"1"), []byte(mark+"2")) // it takes less than to link it again
	return built, os.WriteFile(built[2], program, 0o700)
})

// upgradeLab is a program that runs, and whose file is replaced.
type upgradeLab struct {
	*mainProcess
	base  string // of the names of its files
	url   string // where it serves
	begun int    // how many versions of it have begun
	pid   int    // as it sees itself; 0: it sees itself as others do
	as    func(cmd *exec.Cmd)
}

// newUpgradeLab returns a program that has no file yet.
func newUpgradeLab(t *testing.T) *upgradeLab {
	t.Helper()
	_, err := upgradePrograms()
	require.NoError(t, err)
	dir, err := os.MkdirTemp(programDir(), "up") // on the same disk as the programs
	require.NoError(t, err)
	as := func(cmd *exec.Cmd) { cmd.SysProcAttr = ownGroup() }
	return &upgradeLab{base: filepath.Join(dir, "s"), as: as}
}

// startUpgradeLab starts version 1 of the program.
func startUpgradeLab(t *testing.T, env ...string) *upgradeLab {
	t.Helper()
	l := newUpgradeLab(t)
	l.replace(t, 1)
	l.start(t, l.program(), env...)
	return l
}

// startUpgradeLabAs is startUpgradeLab with a process that is set up in some way, and sees itself
// under a pid.
func startUpgradeLabAs(t *testing.T, pid int, as func(cmd *exec.Cmd), env ...string) *upgradeLab {
	t.Helper()
	l := newUpgradeLab(t)
	l.pid, l.as = pid, as
	l.replace(t, 1)
	l.start(t, l.program(), env...)
	return l
}

// start starts version 1 by a name of its file.
func (l *upgradeLab) start(t *testing.T, file string, env ...string) {
	t.Helper()
	l.run(t, exec.Command(file, l.base), env...)
}

// run is start with a command that becomes the program.
func (l *upgradeLab) run(t *testing.T, cmd *exec.Cmd, env ...string) {
	t.Helper()
	l.mainProcess = &mainProcess{Cmd: cmd, out: &buffer{}, exited: make(chan struct{})}
	l.Dir = filepath.Dir(l.base)
	l.Env = append(os.Environ(), env...)
	l.Stdout, l.Stderr = l.out, l.out
	l.as(l.Cmd)
	require.NoError(t, l.Start())
	l.pid = cmp.Or(l.pid, l.Process.Pid)
	go func() { // ends with the process; the clean-up waits for it
		defer close(l.exited)
		l.err = l.Wait()
	}()
	t.Cleanup(func() {
		_ = l.Process.Kill()
		<-l.exited
		if t.Failed() {
			t.Logf("output:\n%s", l.out)
		}
	})
	l.begins(t, 1)
}

// program is the path of the program.
func (l *upgradeLab) program() string { return l.base + ".program" }

// replace puts a version of the program into the place of the one that is there.
func (l *upgradeLab) replace(t *testing.T, version int) {
	t.Helper()
	built, err := upgradePrograms()
	require.NoError(t, err)
	require.NoError(t, os.Link(built[version], l.base+".new"))
	require.NoError(t, os.Rename(l.base+".new", l.program()))
}

// fail says what the next version does wrong.
func (l *upgradeLab) fail(t *testing.T, fault string) {
	t.Helper()
	require.NoError(t, os.WriteFile(l.base+".fault", []byte(fault), 0o600))
}

// versionLine is made at its first use: each process of the tests would make it.
var versionLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^version (\d) pid (\d+) at (\S+) environment (.*)$`)
})

// begins waits until main of another version runs its action, and checks it.
func (l *upgradeLab) begins(t *testing.T, version int) {
	t.Helper()
	var all [][]string
	eventually(t, "the next version", func() bool {
		all = versionLine().FindAllStringSubmatch(l.out.String(), -1)
		return len(all) > l.begun
	})
	require.Len(t, all, l.begun+1)
	line := all[l.begun]
	l.begun++
	require.Equal(t, fmt.Sprint(version), line[1])
	require.Equal(t, fmt.Sprint(l.pid), line[2], "the process stays")
	require.Equal(t, "[]", line[4], "nothing is left in the environment")
	if l.url == "" {
		l.url = "http://" + line[3] + "/"
	}
	require.Equal(t, l.url, "http://"+line[3]+"/")
}

// descriptors returns how many descriptors main has. Those for a trial that has just ended may be
// among them.
func (l *upgradeLab) descriptors(t *testing.T) int {
	t.Helper()
	dir, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.Process.Pid))
	require.NoError(t, err)
	return len(dir)
}

// command has main do something with tasks, and returns what it prints meanwhile.
func (l *upgradeLab) command(t *testing.T, what string) string {
	t.Helper()
	before := len(l.out.String())
	require.NoError(t, os.WriteFile(l.base+".command", []byte(what), 0o600))
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR1"))
	eventually(t, what, func() bool { return strings.Contains(l.out.String()[before:], "commanded "+what+"\n") })
	return l.out.String()[before:]
}

// upgrade brings the program to a version.
func (l *upgradeLab) upgrade(t *testing.T, version int) {
	t.Helper()
	l.replace(t, version)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	l.begins(t, version)
}

// serves asks the program which version it is.
func (l *upgradeLab) serves(t *testing.T, version int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := get(client, l.url)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(version), got)
}

// workersAlone waits until main has three children, its workers: no trial is left.
func (l *upgradeLab) workersAlone(t *testing.T) []int {
	t.Helper()
	eventually(t, "the end of the trial", func() bool { return len(childrenOf(t, l.Process.Pid)) == 3 })
	return childrenOf(t, l.Process.Pid)
}

// end ends the program.
func (l *upgradeLab) end(t *testing.T) {
	t.Helper()
	left := l.workersAlone(t)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM"))
	require.NoError(t, l.wait(t))
	gone(t, "a worker", left...)
	require.NoFileExists(t, l.base, "the file of the Unix socket is removed")
}

// Several upgrades in a row, while clients ask all the time: the process stays, no request fails,
// and no descriptor, variable or process piles up.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	var stop atomic.Bool
	var failed, asked atomic.Int64
	var clients sync.WaitGroup
	var first atomic.Value
	for range 2 {
		clients.Go(func() { // ends with stop
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for !stop.Load() {
				asked.Add(1)
				if _, err := get(client, l.url); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, err)
				}
			}
		})
	}
	defer clients.Wait()
	defer stop.Store(true)
	var descriptors int
	for i, version := range []int{2, 1, 2, 1} {
		l.replace(t, version)
		require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
		l.begins(t, version)
		before := l.workersAlone(t)
		if i == 0 {
			descriptors = l.descriptors(t)
		}
		eventually(t, "no descriptor to pile up", func() bool { return l.descriptors(t) <= descriptors })
		l.serves(t, version)
		require.FileExists(t, l.base, "the file of the Unix socket, after upgrade %d", i)
		require.Len(t, before, 3)
	}
	stop.Store(true)
	clients.Wait()
	require.Zero(t, failed.Load(), "of %d requests: %v", asked.Load(), first.Load())
	require.Greater(t, asked.Load(), int64(4))
	l.end(t)
}

// Tasks that nobody has begun with go to the new version, once; those that run are finished.
func TestUpgradeHandsOverTasks(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.command(t, "submit")
	eventually(t, "the first task", func() bool { return strings.Contains(l.out.String(), "begun task 0 of 1 by 1") })
	l.upgrade(t, 2)
	eventually(t, "the last task", func() bool { return strings.Contains(l.out.String(), "done task 4 of 1 by 2") })
	var done []string
	for i := range 5 {
		text := fmt.Sprintf("done task %d of 1 by", i)
		require.Equal(t, 1, strings.Count(l.out.String(), text), text)
		require.Equal(t, 1, strings.Count(l.out.String(), fmt.Sprintf("begun task %d of 1 by", i)))
	}
	for _, line := range strings.Split(l.out.String(), "\n") {
		if strings.HasPrefix(line, "done ") {
			done = append(done, line)
		}
	}
	require.True(t, slices.IsSorted(done), "they keep their order: %q", done)
	l.command(t, "resume") // the first attempt has paused the queue
	eventually(t, "the second attempt", func() bool {
		return strings.Contains(l.out.String(), "version 2 goes on from version 1 <nil>")
	})
	l.end(t)
}

// deadLines are what main prints of dead tasks, without the version that prints it.
func deadLines(out string) (lines []string) {
	for line := range strings.Lines(out) {
		if _, of, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(line, "dead in ") {
			lines = append(lines, of)
		}
	}
	return lines
}

// Dead tasks go to the new version as they are, and so do the pauses of queues, over several
// upgrades; tasks that were put back are no dead ones there.
func TestUpgradeHandsOverDeadTasksAndPauses(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.command(t, "bury")
	before := deadLines(l.command(t, "look"))
	require.Len(t, before, 1)
	require.Regexp(t, `^1 late old "what was sent" "version 1" true \d+ ".* failed in all of its 2 attempts:.*`+
		`1\. .*version 1 cannot do it.*2\. `, before[0])
	for _, version := range []int{2, 1} {
		l.upgrade(t, version)
		require.Equal(t, before, deadLines(l.command(t, "look")))
		l.command(t, "work") // those that are paused are older, and would be done before it
		require.NotContains(t, l.out.String(), "begun task held")
		require.NotContains(t, l.out.String(), "begun task late")
	}
	l.command(t, "retry") // its queue is paused
	l.upgrade(t, 2)
	require.Empty(t, deadLines(l.command(t, "look")))
	l.command(t, "resume")
	for _, what := range []string{"what was sent", "task held of 1", "task late of 1"} {
		text := "done " + what + " by 2\n"
		eventually(t, text, func() bool { return strings.Contains(l.out.String(), text) })
		require.Equal(t, 1, strings.Count(l.out.String(), text))
	}
	l.end(t)
}

// A task that the new version has no worker for becomes a dead one, which a later version can do.
func TestUpgradeToFewerTypes(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.command(t, "bury")
	l.fail(t, "fewer")
	l.upgrade(t, 2)
	eventually(t, "the tasks to be dead", func() bool { return len(deadLines(l.command(t, "look"))) == 3 })
	require.Contains(t, l.command(t, "look"), `"task held of 1" "" false`)
	require.NoError(t, os.Remove(l.base+".fault"))
	l.command(t, "retry")
	require.Len(t, deadLines(l.command(t, "look")), 3)
	l.upgrade(t, 2)
	l.command(t, "resume")
	l.command(t, "retry")
	for _, what := range []string{"what was sent", "task held of 1", "task late of 1"} {
		eventually(t, what, func() bool { return strings.Contains(l.out.String(), "done "+what+" by 2\n") })
	}
	l.end(t)
}

// A new version that does not become ready is ended, and the old one goes on and says why.
func TestUpgradeThatFails(t *testing.T) {
	t.Parallel()
	script := func(text string, perm os.FileMode) func(*testing.T, *upgradeLab) {
		return func(t *testing.T, l *upgradeLab) {
			require.NoError(t, os.WriteFile(l.base+".new", []byte(text), perm))
			require.NoError(t, os.Rename(l.base+".new", l.program()))
		}
	}
	fault := func(text string) func(*testing.T, *upgradeLab) {
		return func(t *testing.T, l *upgradeLab) {
			l.fail(t, text)
			l.replace(t, 2)
		}
	}
	for name, c := range map[string]struct {
		prepare func(*testing.T, *upgradeLab)
		why     string
	}{
		"a panic in main":    {fault("panic"), `exit status 2\): panic: the new version panics in main`},
		"an exit in main":    {fault("exit"), `it ended before its workers were ready \(exit status 7\)`},
		"a setup that fails": {fault("setup"), `worker web/\d \(pid \d+\) did not start: its setup function returned an error: .*the new version has no setup that works`},
		"never ready":        {fault("stuck"), `its workers were not ready in time, and it was ended: Config.UpgradeTimeout of 2s is over: context deadline exceeded`},
		"another name": {fault("other name"), `the Main \\"main\\" was to be tried, ` +
			`and the new file has run only Mains of other names, \[\\"other\\"\]: give it this Config.Name or, .*: its workers were not ready in time, .* Config.UpgradeTimeout of 2s is over`},
		"another program":     {script("#!/bin/sh\necho it is another >&2\nexit 0\n", 0o755), `it ended before its workers were ready \(exit status 0\): it is another`},
		"not to be executed":  {script("#!/bin/sh\n", 0o600), `permission denied`},
		"no program":          {script("hello", 0o755), `exec format error`},
		"nothing":             {func(t *testing.T, l *upgradeLab) { require.NoError(t, os.Remove(l.program())) }, `no such file or directory`},
		"a listener is taken": {fault("taken"), `address already in use`},
		"its file vanishes":   {fault("vanish"), `no such file or directory`},
		"its file is switched": {func(t *testing.T, l *upgradeLab) {
			script("#!/bin/sh\nexit 1\n", 0o755)(t, l)
			require.NoError(t, os.Rename(l.program(), l.base+".other"))
			fault("switch")(t, l)
		}, `another file is in its place by now than the one that was tried: call Upgrade again`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := startUpgradeLab(t, "UPGRADE_TIMEOUT=2s")
			c.prepare(t, l)
			require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
			failed := regexp.MustCompile(`level=ERROR msg="multiprolab: the program is not upgraded" error="the old version of the program goes on, the new one in \S+ failed: .*` + c.why)
			if name == "another name" { // who does not want to wait for the error can end it
				told := regexp.MustCompile(`level=WARN msg="multiprolab: the trial .* another name, .*" main=other tried=main`)
				eventually(t, "the warning", func() bool { return told.MatchString(l.out.String()) })
			}
			eventually(t, "the error", func() bool { return failed.MatchString(l.out.String()) })
			l.workersAlone(t)
			l.serves(t, 1)
			require.NoError(t, os.RemoveAll(l.base+".fault"))
			l.replace(t, 2)
			require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
			l.begins(t, 2)
			l.end(t)
		})
	}
}

// The end of the program counts more than an upgrade that is under way.
func TestEndWhileUpgrading(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.fail(t, "stuck")
	l.replace(t, 2)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	eventually(t, "the trial", func() bool { return len(childrenOf(t, l.Process.Pid)) == 4 })
	left := childrenOf(t, l.Process.Pid)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM"))
	require.NoError(t, l.wait(t))
	gone(t, "a child", left...)
	require.Contains(t, l.out.String(), "end <nil> multiprolab: the program was ended by SIGTERM")
}

// A service manager is told of a reload, and of its end by the new version; the trial cannot speak
// to it.
func TestUpgradeOfService(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	l := startUpgradeLab(t, "NOTIFY_SOCKET="+m.path)
	require.Equal(t, "READY=1", await(t, m.said, "the start"))
	for _, version := range []int{2, 1} {
		l.replace(t, version)
		require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
		require.Regexp(t, `^RELOADING=1\nMONOTONIC_USEC=\d+$`, await(t, m.said, "the upgrade"))
		l.begins(t, version)
		require.Equal(t, "READY=1", await(t, m.said, "the new version"))
	}
	l.end(t)
	require.Equal(t, []string{"STOPPING=1"}, m.mark(t))
}
