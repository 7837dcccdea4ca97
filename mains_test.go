package multiprolab_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mainsOf runs a program with several Mains, and returns what it prints on stdout.
func mainsOf(t *testing.T, how ...string) []string {
	t.Helper()
	out, err := runTestProgram(t, append([]string{"mains"}, how...)...)
	require.NoError(t, err, "%s", out)
	require.NotContains(t, out, "level=ERROR")
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "time=") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// With names of their own, several Mains of a program find their workers, at once and one after the
// other, with the code that everybody writes.
func TestSeveralMains(t *testing.T) {
	for how, want := range map[string][]string{
		"started both":                         {"A B"},
		"started three, the default name last": {"C B A"},
		"one after the other":                  {"phase 0", "phase 1", "phase 2"},
		"run one after the other":              {"in Run: phase 0", "in Run: phase 1", "in Run: phase 2"},
		"run beside one that was started":      {"in Run: B", "A"},
		"one in this process first":            {"in process B"},
		"nested":                               {"ax ay bx by"},
		"the first did not start":              {"true", "true", "B"}, // the worker comes through it, too,
	} {
		t.Run(how, func(t *testing.T) { require.Equal(t, want, mainsOf(t, how)) })
	}
	t.Run("run both at once", func(t *testing.T) {
		require.ElementsMatch(t, []string{"in Run: a", "in Run: b"}, mainsOf(t, "run both at once"))
	})
	t.Run("run the second in the worker of the first", func(t *testing.T) {
		lines := mainsOf(t, "run the second in the worker of the first")
		require.ElementsMatch(t, []string{"in Run: a", "in Run: b"}, lines)
	})
	for _, how := range []string{"by context", "by its place"} {
		t.Run("nested on a goroutine "+how, func(t *testing.T) {
			require.Equal(t, []string{"inner"}, mainsOf(t, "nested on a goroutine", how))
		})
	}
}

// Two Mains of one name could not be told apart by a worker: the second is refused, before it
// starts anything.
func TestSecondMainOfOneNameIsRefused(t *testing.T) {
	for how, want := range map[string][]string{
		"one name at once":              {`the second: multiprolab: Config.Name is main: `, "A multiprolab: Config.Name is main: "},
		"one name, one after the other": {"A", `the second: multiprolab: Config.Name is same: `},
		"one name, run again":           {"in Run: A", "Run: <nil>", "Run: multiprolab: Config.Name is main: "},
	} {
		t.Run(how, func(t *testing.T) {
			lines := mainsOf(t, how)
			require.Len(t, lines, len(want), "%q", lines)
			for i, line := range lines {
				require.Contains(t, line, want[i])
				if strings.HasSuffix(want[i], ": ") {
					require.Regexp(
						t,
						`another Main of this program has this name, made at \S*mains.go:\d+.* give each a Config.Name of its own`,
						line,
					)
				}
			}
		})
	}
}

// A Main is of no use in the process of a worker, of another Main's or of its own: what it has
// returns at once, and says so.
func TestMainInAWorkersProcess(t *testing.T) {
	var inert, own int
	for _, line := range mainsOf(t, "used in the worker of the other") {
		what, text, _ := strings.Cut(line, " ")
		call, text, _ := strings.Cut(text, ": ")
		switch what {
		case "inert":
			inert++
			// so that the code around it goes on
			if call == "Close" || call == "Stop" || call == "Wait" || call == "Join" {
				require.Equal(t, "<nil>", text, call)
				continue
			}
			require.Contains(
				t,
				text,
				`this is the process of worker w/0 of the Main "b", in which the Main "a" does not run`,
				call,
			)
		case "own":
			own++
			if call == "Join" {
				continue
			}
			require.Contains(
				t,
				text,
				`this is the process of worker w/0, in which its Main "b" does not run: use the Worker`,
				call,
			)
		case "b":
			require.Equal(t, "<nil>", text, "Exit in the worker asks main to end")
		default:
			t.Errorf("unexpected: %s", line)
		}
	}
	require.Equal(t, 14, inert)
	require.Equal(t, 14, own)
}
