package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
)

// Summary is what is printed of a tree. It depends on the files alone, not on who examined them in
// which order.
type Summary struct {
	Files      int
	Lines      int
	Functions  int
	Methods    int
	Types      int
	Constants  int
	Variables  int
	Longest    []Place
	Imports    []Use
	Broken     []Fault
	Unreadable []Fault
}

// Place is a function and its file.
type Place struct {
	Path string
	Function
}

// Use is an imported path and the number of files that import it.
type Use struct {
	Path  string
	Files int
}

// Fault is a file, or a directory, and what is wrong with it.
type Fault struct {
	Path string
	Text string
}

// summarise adds the reports up. unreadable are the directories that could not be walked; top
// limits the functions and imports.
func summarise(reports []Report, unreadable []Fault, top int) Summary {
	s := Summary{Files: len(reports), Unreadable: slices.Clone(unreadable)}
	uses := map[string]int{}
	for _, r := range reports {
		f := &r.Facts
		s.Lines += f.Lines
		s.Functions += f.Functions
		s.Methods += f.Methods
		s.Types += f.Types
		s.Constants += f.Constants
		s.Variables += f.Variables
		for _, fn := range f.Longest {
			s.Longest = append(s.Longest, Place{r.Path, fn})
		}
		for _, path := range f.Imports {
			uses[path]++
		}
		if f.Broken != "" {
			s.Broken = append(s.Broken, Fault{r.Path, f.Broken})
		}
		if f.Unreadable != "" {
			s.Unreadable = append(s.Unreadable, Fault{r.Path, f.Unreadable})
		}
	}
	for path, files := range uses {
		s.Imports = append(s.Imports, Use{path, files})
	}
	slices.SortFunc(s.Longest, func(a, b Place) int {
		return cmp.Or(b.Lines-a.Lines, strings.Compare(a.Path, b.Path), a.Line-b.Line)
	})
	slices.SortFunc(s.Imports, func(a, b Use) int { return cmp.Or(b.Files-a.Files, strings.Compare(a.Path, b.Path)) })
	s.Longest = s.Longest[:min(top, len(s.Longest))]
	s.Imports = s.Imports[:min(top, len(s.Imports))]
	byPath := func(a, b Fault) int { return strings.Compare(a.Path, b.Path) }
	slices.SortFunc(s.Broken, byPath)
	slices.SortFunc(s.Unreadable, byPath)
	return s
}

// print prints the tables, with the paths as they are seen from root.
func (s *Summary) print(out io.Writer, root string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range []struct {
		what string
		n    int
	}{
		{"files", s.Files}, {"lines", s.Lines}, {"functions", s.Functions}, {"methods", s.Methods},
		{"types", s.Types}, {"constants", s.Constants}, {"variables", s.Variables},
		{"files that do not parse", len(s.Broken)}, {"not readable", len(s.Unreadable)},
	} {
		fmt.Fprintf(w, "%d\t  %s\n", row.n, row.what)
	}
	w.Flush()

	within := func(path string) string {
		if rel, err := filepath.Rel(root, path); err == nil {
			return rel
		}
		return path
	}
	fmt.Fprintf(out, "\nlongest functions, in lines:\n")
	for _, p := range s.Longest {
		fmt.Fprintf(w, "%d\t  %s:%d  %s\n", p.Lines, within(p.Path), p.Line, p.Name)
	}
	w.Flush()
	fmt.Fprintf(out, "\nmost used imports, in files:\n")
	for _, u := range s.Imports {
		fmt.Fprintf(w, "%d\t  %s\n", u.Files, u.Path)
	}
	w.Flush()
	faults := func(title string, faults []Fault) {
		if len(faults) > 0 {
			fmt.Fprintf(out, "\n%s:\n", title)
		}
		for _, f := range faults {
			fmt.Fprintf(out, "  %s: %s\n", within(f.Path), f.Text)
		}
	}
	faults("do not parse", s.Broken)
	faults("not readable", s.Unreadable)
}

// printShares prints who examined how many files.
func printShares(out io.Writer, reports []Report) {
	type share struct {
		worker string
		pid    int
	}
	files := map[share]int{}
	var shares []share
	for _, r := range reports {
		s := share{r.Worker, r.PID}
		if files[s]++; files[s] == 1 {
			shares = append(shares, s)
		}
	}
	slices.SortFunc(shares, func(a, b share) int {
		// the length: 10 comes after 9
		return cmp.Or(len(a.worker)-len(b.worker), strings.Compare(a.worker, b.worker), a.pid-b.pid)
	})
	fmt.Fprintf(out, "\nfiles of each worker process:\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, s := range shares {
		fmt.Fprintf(w, "%d\t  %s (pid %d)\n", files[s], s.worker, s.pid)
	}
	w.Flush()
}

// compare returns an error that names the files in which two surveys differ, the first few with
// what was found, or the totals.
func compare(workers, alone []Report, total, totalAlone Summary) error {
	found := map[string]Facts{}
	for _, r := range workers {
		found[r.Path] = r.Facts
	}
	var errs []error
	differ := 0
	for _, r := range alone {
		if f, ok := found[r.Path]; !ok || !reflect.DeepEqual(f, r.Facts) {
			if differ++; differ <= 5 {
				errs = append(errs, fmt.Errorf("%s: a worker found %+v, this process %+v", r.Path, f, r.Facts))
			}
		}
	}
	if differ > 0 {
		errs = append(errs, fmt.Errorf("not verified: %d of %d files differ", differ, len(alone)))
	}
	if !reflect.DeepEqual(total, totalAlone) {
		errs = append(
			errs,
			fmt.Errorf("not verified: the totals are %+v, and %+v by this process alone", total, totalAlone),
		)
	}
	return errors.Join(errs...)
}
