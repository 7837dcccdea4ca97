// The types of this file live in the process that starts workers.

package proc

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
)

// MemoryGroups finds the control groups by which the kernel limits the memory of processes, of
// version 1 or 2 (cgroups(7)). All methods may be called from any goroutine.
type MemoryGroups struct {
	root   string              // stands before every path; empty except in tests
	mounts func() []groupMount // returns what findMounts has found, which it looks for only once
}

// groupMount is a directory in which the groups of one hierarchy can be seen. It does not change.
type groupMount struct {
	version int    // 1 or 2
	top     string // the path, within the hierarchy, of the group that is mounted
	dir     string // the directory at which the group is mounted
}

// MemoryGroup is a control group that limits memory. If none can be seen, it is the whole machine.
// It does not change.
type MemoryGroup struct {
	Name string // the path of the group in the hierarchy; empty for the machine

	counts string // the file with the number of processes that the kernel has ended for lack of memory
	limit  string // the file with the limit; empty for the machine
}

// NewMemoryGroups returns the groups of this system.
func NewMemoryGroups() *MemoryGroups { return MemoryGroupsIn("") }

// MemoryGroupsIn returns the groups of a system whose files are below a directory, for tests.
func MemoryGroupsIn(root string) *MemoryGroups {
	g := &MemoryGroups{root: root}
	g.mounts = sync.OnceValue(g.findMounts)
	return g
}

// Of returns the group that a process is in now.
func (g *MemoryGroups) Of(pid int) *MemoryGroup {
	machine := &MemoryGroup{counts: g.root + "/proc/vmstat"} // this file has the line oom_kill since Linux 4.13
	text, err := os.ReadFile(g.root + "/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return machine
	}
	for _, version := range []int{1, 2} { // if there are both, a hierarchy of version 1 that names memory controls it
		name, ok := memoryPath(text, version)
		if !ok {
			continue
		}
		for _, m := range g.mounts() {
			if m.version != version {
				continue
			}
			below, ok := strings.CutPrefix(name+"/", strings.TrimSuffix(m.top, "/")+"/")
			if !ok || strings.HasPrefix(name, "/..") {
				continue // the group is outside of what is mounted
			}
			dir := path.Join(g.root+m.dir, below)
			group := &MemoryGroup{Name: name, counts: dir + "/memory.events", limit: dir + "/memory.max"}
			if version == 1 {
				group.counts, group.limit = dir+"/memory.oom_control", dir+"/memory.limit_in_bytes"
			}
			if _, ok := group.Kills(); ok { // the root of version 2 does not tell
				return group
			}
		}
	}
	return machine
}

// memoryPath takes the path of the group that controls the memory from the text of a file
// /proc/PID/cgroup.
func memoryPath(text []byte, version int) (string, bool) {
	for line := range bytes.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3) // number:controllers:path
		if len(parts) != 3 {
			continue
		}
		if version == 2 && parts[0] == "0" && parts[1] == "" {
			return parts[2], true
		}
		if version == 1 && hasWord(parts[1], "memory") {
			return parts[2], true
		}
	}
	return "", false
}

// hasWord reports whether a list that is separated by commas has a word.
func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// findMounts reads /proc/self/mountinfo (proc_pid_mountinfo(5)).
func (g *MemoryGroups) findMounts() (mounts []groupMount) {
	text, err := os.ReadFile(g.root + "/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		mount, kind, ok := strings.Cut(line, " - ")
		fields, kinds := strings.Fields(mount), strings.Fields(kind)
		if !ok || len(fields) < 5 || len(kinds) < 3 {
			continue
		}
		m := groupMount{top: unescapeMount(fields[3]), dir: unescapeMount(fields[4])}
		switch {
		case kinds[0] == "cgroup2":
			m.version = 2
		case kinds[0] == "cgroup" && hasWord(kinds[2], "memory"):
			m.version = 1
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescapeMount turns the octal numbers with which mountinfo writes spaces and backslashes back
// into these.
func unescapeMount(s string) string {
	for _, c := range []struct{ as, is string }{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, c.as, c.is)
	}
	return s
}

// Kills returns how many processes of the group the kernel has ended for lack of memory, and
// whether it tells.
func (g *MemoryGroup) Kills() (uint64, bool) {
	text, err := os.ReadFile(g.counts)
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) == 2 && string(fields[0]) == "oom_kill" {
			n, err := strconv.ParseUint(string(fields[1]), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// Limit returns the group's limit of memory in bytes, or 0 if it has no limit or does not tell.
func (g *MemoryGroup) Limit() int64 {
	const noLimit = 1 << 62 // without a limit, version 1 has a still greater number, and version 2 has the word max
	text, err := os.ReadFile(g.limit)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || n >= noLimit {
		return 0
	}
	return n
}

// Same reports whether g and o are the same group.
func (g *MemoryGroup) Same(o *MemoryGroup) bool { return o != nil && g.counts == o.counts }
