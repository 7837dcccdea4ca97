package main

import (
	"bytes"
	"cmp"
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"os"
	"slices"
	"strconv"
)

// Report is the result of one task: what a worker found in one file, and who it was.
type Report struct {
	Path    string
	Worker  string
	PID     int
	Attempt int // 1 unless a worker died with the file
	Facts   Facts
}

// Facts are what can be said of one file, whoever examines it. Of a file that does not parse only
// the lines are counted.
type Facts struct {
	Lines      int
	Functions  int // at the top level, as the next four
	Methods    int
	Types      int
	Constants  int
	Variables  int
	Longest    []Function // the longest first
	Imports    []string   // sorted, each once
	Broken     string     // why it does not parse; empty if it does
	Unreadable string     // why it cannot be read; empty if it can
}

// Function is a function or method.
type Function struct {
	Name  string
	Line  int // where it begins
	Lines int // of its declaration, without its comment
}

// examine reads and parses one file. top limits the functions that are named.
func examine(path string, top int) Facts {
	source, err := os.ReadFile(path)
	if err != nil {
		return Facts{Unreadable: err.Error()}
	}
	f := Facts{Lines: lines(source)}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, parser.SkipObjectResolution)
	if err != nil {
		f.Broken = err.Error()
		if list := (scanner.ErrorList)(nil); errors.As(err, &list) && len(list) > 0 {
			f.Broken = list[0].Error() // line, column and reason; the further ones often follow from it
		}
		return f
	}
	line := func(p token.Pos) int { return set.PositionFor(p, false).Line } // false: whatever "//line" comments say
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				f.Functions++
			} else {
				f.Methods++
			}
			first := line(d.Pos())
			lines := line(d.End()) - first + 1
			f.Longest = append(f.Longest, Function{Name: functionName(d), Line: first, Lines: lines})
		case *ast.GenDecl:
			f.count(d)
		}
	}
	slices.SortFunc(f.Longest, func(a, b Function) int { return cmp.Or(b.Lines-a.Lines, a.Line-b.Line) })
	f.Longest = slices.Clip(f.Longest[:min(top, len(f.Longest))])
	if len(f.Longest) == 0 {
		f.Longest = nil // as it is after its way between processes
	}
	for _, spec := range file.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			f.Imports = append(f.Imports, path)
		}
	}
	slices.Sort(f.Imports)
	f.Imports = slices.Compact(f.Imports)
	return f
}

// count counts the names that a declaration other than a function's declares.
func (f *Facts) count(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			f.Types++
		case *ast.ValueSpec:
			if d.Tok == token.CONST {
				f.Constants += len(s.Names)
			} else {
				f.Variables += len(s.Names)
			}
		}
	}
}

func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	receiver := types.ExprString(d.Recv.List[0].Type)
	if receiver[0] == '*' {
		receiver = "(" + receiver + ")"
	}
	return receiver + "." + d.Name.Name
}

// lines counts a last line that does not end as well.
func lines(source []byte) int {
	n := bytes.Count(source, []byte{'\n'})
	if len(source) > 0 && source[len(source)-1] != '\n' {
		n++
	}
	return n
}
