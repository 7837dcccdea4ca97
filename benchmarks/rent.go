//go:build !solo

package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

// rented is what was measured in one run of this program.
type rented struct {
	scenario, contender, metric string
	more                        bool // is better
	value                       float64
}

// place is what is the same in a run with a mechanism and one without it.
func (r rented) place() string { return r.scenario + ", " + r.contender + ", " + r.metric }

// measureRent says what each mechanism of the library brings. In every round this program runs
// itself once with all of them, and once without each. The order of the runs changes from round to
// round. What is compared are two runs of the same round.
func measureRent(mechanisms, run string, rounds int, table, log io.Writer) error {
	if !ablate.Built {
		return errors.New("there is nothing to switch off: build this with -tags ablate")
	}
	wanted, err := regexp.Compile(mechanisms)
	if err != nil {
		return err
	}
	if rounds == 0 {
		rounds = 10
	}
	variants := []ablate.Mechanism{ablate.None}
	for _, m := range ablate.All {
		if wanted.MatchString(m.String()) {
			variants = append(variants, m)
		}
	}
	var places []rented // in the order of the scenarios
	ratios := map[string]map[ablate.Mechanism][]float64{}
	for n := range rounds {
		measured := map[ablate.Mechanism][]rented{}
		for k := range variants {
			m := variants[(k+n)%len(variants)]
			_, _ = fmt.Fprintf(log, "round %d of %d, without %q\n", n+1, rounds, m)
			if measured[m], err = runWithout(m, run); err != nil {
				return err
			}
		}
		for k, with := range measured[ablate.None] {
			if n == 0 {
				places = append(places, with)
				ratios[with.place()] = map[ablate.Mechanism][]float64{}
			}
			for _, m := range variants[1:] {
				without := measured[m]
				if len(without) <= k || without[k].place() != with.place() {
					return fmt.Errorf("without %q there is no result of %s", m, with.place())
				}
				cost := without[k].value / with.value
				if with.more {
					cost = 1 / cost
				}
				ratios[with.place()][m] = append(ratios[with.place()][m], cost)
			}
		}
	}
	return writeRent(table, rounds, variants[1:], places, ratios)
}

// runWithout runs this program for one round of the scenarios, and returns what the contenders of
// multiprolab have shown.
func runWithout(m ablate.Mechanism, run string) ([]rented, error) {
	dir, err := os.MkdirTemp("", "multiprolab-rent-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "-run", run, "-peers", "^multiprolab", "-rounds", "1", "-out", dir)
	cmd.Env = append(os.Environ(), ablate.Variable+"="+m.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("without %q: %w\n%s", m, err, out)
	}
	f, err := os.Open(filepath.Join(dir, "results.csv"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var all []rented
	for _, l := range lines[1:] {
		if !strings.HasPrefix(l[1], "multiprolab") {
			continue
		}
		r := rented{scenario: l[0], contender: l[1], metric: l[2], more: l[4] == "more"}
		if r.value, err = strconv.ParseFloat(l[5], 64); err != nil {
			return nil, fmt.Errorf("without %q, %s: %s", m, r.place(), l[10])
		}
		all = append(all, r)
	}
	return all, nil
}

// writeRent writes what everything costs without each mechanism, as Markdown: the median of the
// ratios, and between which two of them it lies in 95 of 100 such tables.
func writeRent(
	w io.Writer,
	rounds int,
	mechanisms []ablate.Mechanism,
	places []rented,
	ratios map[string]map[ablate.Mechanism][]float64,
) error {
	line, rule := "| what it costs, × with all |", "|---|"
	for _, m := range mechanisms {
		line += fmt.Sprintf(" %s |", m)
		rule += "---|"
	}
	_, err := fmt.Fprintf(w, "%d rounds\n\n%s\n%s\n", rounds, line, rule)
	for _, p := range places {
		line := "| " + p.place() + " |"
		for _, m := range mechanisms {
			each := slices.Sorted(slices.Values(ratios[p.place()][m]))
			cut := surely(len(each))
			line += fmt.Sprintf(" %.2f (%.2f – %.2f) |", median(each), each[cut], each[len(each)-1-cut])
		}
		_, e := fmt.Fprintln(w, line)
		err = errors.Join(err, e)
	}
	return err
}

// surely returns how many of n values may be left out at either end so that the median of what they
// were drawn from lies between the others with a chance of 95 in 100, or as near as n values allow.
func surely(n int) int {
	outside, chance := 0.0, math.Pow(0.5, float64(n)) // of no value on one side, of k below
	for k := 0; ; k++ {
		if outside += 2 * chance; outside > 0.05 || 2*k >= n-1 {
			return max(0, k-1)
		}
		chance *= float64(n-k) / float64(k+1)
	}
}
