// Not with the race detector, with which the source is the same.

//go:build !race

package house_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// house is the source of one package, type-checked, without its tests.
type house struct {
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
	pkg   *types.Package
}

// exported is a package as go list knows it.
type exported struct {
	ImportPath string
	Dir        string
	Export     string // the file of its compiled declarations
	GoFiles    []string
	Imports    []string
	Standard   bool
}

// listed are the packages of the module and all that they import, by their paths.
var listed = sync.OnceValues(func() (map[string]*exported, error) {
	out, err := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Imports,Standard", "./...").
		Output()
	if err != nil {
		return nil, err
	}
	all := map[string]*exported{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(exported)
		if err := d.Decode(p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

// ownPackages are the paths of the library's packages, examples and those that have tests alone
// apart.
func ownPackages(t *testing.T) []string {
	all, err := listed()
	require.NoError(t, err)
	var own []string
	for path, p := range all {
		if len(p.GoFiles) == 0 {
			continue
		}
		room, within := strings.CutPrefix(path, module+"/")
		public := slices.Contains([]string{"backend", "dashboard", "prefork", "profiles", "sockets"}, room)
		if path == module || within && (public || strings.HasPrefix(room, "internal/")) {
			own = append(own, path)
		}
	}
	slices.Sort(own)
	return own
}

// loadHouse reads and checks one package.
func loadHouse(t *testing.T, path string) *house {
	t.Helper()
	all, err := listed()
	require.NoError(t, err)
	p := all[path]
	require.NotNil(t, p, path)
	h := &house{fset: token.NewFileSet(), info: &types.Info{
		Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{},
	}}
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(h.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		require.NoError(t, err)
		h.files = append(h.files, f)
	}
	conf := types.Config{Importer: importer.ForCompiler(h.fset, "gc", func(path string) (io.ReadCloser, error) {
		if all[path] == nil || all[path].Export == "" {
			return nil, fmt.Errorf("%s is not known", path)
		}
		return os.Open(all[path].Export)
	})}
	h.pkg, err = conf.Check(path, h.fset, h.files, h.info)
	require.NoError(t, err)
	return h
}

// file returns the base name of the file that a place is in.
func (h *house) file(at token.Pos) string { return filepath.Base(h.fset.Position(at).Filename) }

// uses returns for each file the other files of the package whose names it uses.
func (h *house) uses() map[string]map[string]bool {
	g := map[string]map[string]bool{}
	for _, f := range h.files {
		g[h.file(f.Pos())] = map[string]bool{}
	}
	for id, o := range h.info.Uses {
		switch o := o.(type) { // of a generic type or function, the declaration
		case *types.Func:
			h.edge(g, id, o.Origin())
		case *types.Var:
			h.edge(g, id, o.Origin())
		default:
			h.edge(g, id, o)
		}
	}
	return g
}

func (h *house) edge(g map[string]map[string]bool, id *ast.Ident, o types.Object) {
	if o.Pkg() != h.pkg || !o.Pos().IsValid() {
		return
	}
	if from, to := h.file(id.Pos()), h.file(o.Pos()); from != to {
		g[from][to] = true
	}
}

// circles returns the sets of files in which every file needs every other, the largest first.
func circles(g map[string]map[string]bool) [][]string {
	reach := map[string]map[string]bool{}
	for from := range g {
		seen := map[string]bool{}
		for todo := []string{from}; len(todo) > 0; {
			at := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for to := range g[at] {
				if !seen[to] {
					seen[to] = true
					todo = append(todo, to)
				}
			}
		}
		reach[from] = seen
	}
	var all [][]string
	done := map[string]bool{}
	for a := range g {
		if done[a] || !reach[a][a] {
			continue
		}
		var c []string
		for b := range reach[a] {
			if reach[b][a] {
				done[b] = true
				c = append(c, b)
			}
		}
		slices.Sort(c)
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b []string) int { return cmp.Compare(len(b), len(a)) })
	return all
}

// knots are the packages that are held to a smaller circle of files, or to fewer pairs of files
// that use each other, than the 10 and 8 that a package may have. A change may bring the figures
// down, and then writes them here; it never brings them up.
var knots = map[string]struct{ circle, pairs int }{
	module: {circle: 8, pairs: 4},
}

// TestTangle holds how much the files of a package need each other.
func TestTangle(t *testing.T) {
	for _, path := range ownPackages(t) {
		g := loadHouse(t, path).uses()
		largest := 0
		if all := circles(g); len(all) > 0 {
			largest = len(all[0])
		}
		var pairs []string
		for a := range g {
			for b := range g[a] {
				if a < b && g[b][a] {
					pairs = append(pairs, a+" "+b)
				}
			}
		}
		slices.Sort(pairs)
		most, mostPairs := 10, 8
		if k, ok := knots[path]; ok {
			most, mostPairs = k.circle, k.pairs
		}
		t.Logf("%s: %d files, the largest circle has %d, %d pairs use each other", path, len(g), largest, len(pairs))
		if largest > most {
			t.Errorf("%s: %d files need each other in a circle, and at most %d may", path, largest, most)
		}
		if len(pairs) > mostPairs {
			t.Errorf(
				"%s: %d pairs of files use each other, and at most %d may: %s",
				path,
				len(pairs),
				mostPairs,
				strings.Join(pairs, ", "),
			)
		}
	}
}

// floors says for each package of the library which others of it it may import: only what lies
// below.
var floors = map[string][]string{
	"": {
		"backend", "internal/ablate", "internal/batch", "internal/codec", "internal/contexts", "internal/errpack", "internal/fleet", "internal/goroutine",
		"internal/inspect",
		"internal/life", "internal/logbook",
		"internal/link", "internal/lockorder", "internal/mail", "internal/meta",
		"internal/logpack", "internal/mapping", "internal/outbox", "internal/pack", "internal/platform",
		"internal/proc",
		"internal/queue", "internal/recorder", "internal/ring", "internal/sdnotify", "internal/shared",
		"internal/signals", "internal/sockets", "internal/stats",
		"internal/shop", "internal/store", "internal/tokens", "internal/upgrade", "internal/watchers", "internal/wire",
	},
	"backend":            {"internal/ring"},
	"dashboard":          {"profiles"},
	"prefork":            {"sockets"},
	"profiles":           {},
	"internal/ablate":    {},
	"internal/batch":     {"internal/ablate", "internal/codec"},
	"internal/codec":     {"internal/ablate"},
	"internal/contexts":  {"internal/ablate", "internal/goroutine"},
	"internal/errpack":   {"internal/codec", "internal/pack", "internal/platform", "internal/text"},
	"internal/fleet":     {},
	"internal/goroutine": {},
	"internal/inspect":   {"internal/pack"},
	"internal/life": {
		"internal/goroutine", "internal/inspect", "internal/link", "internal/pack", "internal/proc", "internal/text",
		"internal/wire",
	},
	"internal/link":      {"internal/ablate", "internal/codec", "internal/goroutine", "internal/lockorder", "internal/wire"},
	"internal/lockorder": {"internal/goroutine"},
	"internal/logbook": {"internal/goroutine", "internal/link", "internal/lockorder",
		"internal/logpack", "internal/mail", "internal/ring", "internal/wire"},
	"internal/logpack":  {"internal/text"},
	"internal/mail":     {"internal/ring"},
	"internal/mapping":  {"internal/batch", "internal/codec", "internal/goroutine", "internal/lockorder", "internal/ring"},
	"internal/meta":     {"internal/pack", "internal/queue"},
	"internal/outbox":   {"internal/codec", "internal/link", "internal/lockorder", "internal/mail", "internal/ring", "internal/wire"},
	"internal/pack":     {},
	"internal/platform": {},
	"internal/proc":     {"internal/ablate", "internal/pack", "internal/platform"},
	"internal/queue":    {"internal/ablate", "internal/ring", "internal/stats"},
	"internal/recorder": {"internal/ablate", "internal/fleet", "internal/lockorder", "internal/queue"},
	"internal/ring":     {},
	"internal/sdnotify": {"internal/goroutine"},
	"internal/shared":   {"internal/pack", "internal/platform"},
	"internal/shop":     {"internal/ring"},
	"internal/signals":  {"internal/goroutine", "internal/platform"},
	"internal/sockets":  {"internal/upgrade"},
	"internal/stats":    {},
	"internal/store":    {"backend", "internal/goroutine", "internal/queue", "internal/ring"},
	"internal/text":     {},
	"internal/tokens":   {},
	"internal/upgrade":  {"internal/goroutine", "internal/pack", "internal/platform"},
	"internal/watchers": {"internal/goroutine", "internal/ring"},
	"internal/wire":     {},
	"sockets":           {"internal/sockets"},
}

// rules are the packages that decide and do nothing else.
var rules = []string{"internal/fleet", "internal/mail", "internal/queue"}

// clockless are packages that hold no more machinery than the rules, but read and write bytes, or
// count what two goroutines do, with what each may import for that.
var clockless = map[string][]string{
	"internal/batch": {"encoding/binary"}, "internal/shop": {"sync/atomic"}, "internal/stats": {},
}

// ruleImports are what the rules may import of the standard library: nothing that waits, reads a
// clock, throws dice, makes an error text or does input and output.
var ruleImports = []string{
	"cmp",
	"container/heap",
	"iter",
	"maps",
	"math",
	"math/bits",
	"slices",
	"sort",
	"strings",
	"time",
	"unique",
}

// TestImports holds that imports run down, and that the rules hold no machinery.
func TestImports(t *testing.T) {
	all, err := listed()
	require.NoError(t, err)
	for _, path := range ownPackages(t) {
		room := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		below, known := floors[room]
		require.True(t, known, "%s has no floor: give it one", path)
		for _, imported := range all[path].Imports {
			if own, ok := strings.CutPrefix(imported, module+"/"); ok {
				require.Contains(t, below, own, "%s imports what does not lie below it", path)
			} else if extra := clockless[room]; slices.Contains(rules, room) || extra != nil {
				require.Contains(t, slices.Concat(ruleImports, extra), imported, "%s is rules alone", path)
			}
		}
		if slices.Contains(rules, room) || clockless[room] != nil {
			loadHouse(t, path).checkRules(t)
		}
	}
}

// ruleTime are the names of package time that are numbers, and no clock.
var ruleTime = []string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}

// checkRules holds that nothing waits, starts, reads a clock or depends on the order of a map.
func (h *house) checkRules(t *testing.T) {
	for _, f := range h.files {
		ast.Inspect(f, func(n ast.Node) bool {
			var found string
			switch n := n.(type) {
			case *ast.GoStmt:
				found = "starts a goroutine"
			case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
				found = "has a channel"
			case *ast.RangeStmt:
				if _, ok := h.info.Types[n.X].Type.Underlying().(*types.Map); ok {
					found = "ranges over a map, whose order shows: keep a list beside it"
				}
			case *ast.SelectorExpr:
				pkg, ok := n.X.(*ast.Ident)
				if ok && h.info.Uses[pkg] != nil && h.info.Uses[pkg].Name() == "time" && !slices.Contains(ruleTime, n.Sel.Name) {
					if _, ok := h.info.Uses[pkg].(*types.PkgName); ok {
						found = "reads a clock"
					}
				}
			case *ast.BasicLit:
				if strings.Contains(n.Value, "multiprolab: ") {
					found = "makes a text for people"
				}
			}
			if found != "" {
				t.Errorf("%s: a room of rules %s", h.fset.Position(n.Pos()), found)
			}
			return true
		})
	}
}

// TestShape holds the size of what a reader has to take in at a time.
func TestShape(t *testing.T) {
	var code, wide, comments, long, large, silent int
	for _, path := range ownPackages(t) {
		h := loadHouse(t, path)
		for _, f := range h.files {
			name := h.fset.Position(f.Pos()).Filename
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			lines := strings.Split(string(text), "\n")
			code += len(lines)
			if len(lines) > 401 {
				long++
				t.Logf("%s/%s has %d lines", strings.TrimPrefix(path, module), filepath.Base(name), len(lines)-1)
			}
			for i, line := range lines {
				n := width(line)
				if n > 120 {
					wide++
					t.Logf("%s:%d is %d columns wide", name, i+1, n)
				}
				if n > 100 && strings.HasPrefix(strings.TrimSpace(line), "//") {
					comments++
					t.Logf("%s:%d is a comment of %d columns", name, i+1, n)
				}
			}
		}
		for _, f := range h.files {
			ast.Inspect(f, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if names := withoutComment(spec); len(names) > 0 {
					silent += len(names)
					left := strings.Join(names, ", ")
					t.Logf("%s: nothing says what %s.{%s} are", h.file(spec.Pos()), spec.Name, left)
				}
				if spec.Name.IsExported() {
					return true
				}
				if s, ok := h.info.Defs[spec.Name].Type().Underlying().(*types.Struct); ok && s.NumFields() > 15 {
					large++
					t.Logf("%s.%s has %d fields", strings.TrimPrefix(path, module), spec.Name.Name, s.NumFields())
				}
				return true
			})
		}
	}
	t.Logf(
		"%d lines; %d files above 400 lines, %d wide lines, %d wide comments, %d private structs above 15 fields, "+
			"%d private fields without a comment",
		code, long, wide, comments, large, silent,
	)
	for _, held := range []struct {
		what        string
		found, most int
	}{
		{"files above 400 lines", long, sizes.files},
		{"lines wider than 120 columns", wide, sizes.lines},
		{"comments wider than 100 columns", comments, sizes.comments},
		{"private structs of more than 15 fields", large, sizes.structs},
		{"private fields without a comment", silent, sizes.fields},
	} {
		if held.found > held.most {
			t.Errorf("%d %s, and at most %d may be", held.found, held.what, held.most)
		}
	}
}

// withoutComment returns the private fields of a struct type that have no comment of their own,
// above or beside them. A comment of several fields in one line is that of each of them.
func withoutComment(spec *ast.TypeSpec) (names []string) {
	s, ok := spec.Type.(*ast.StructType)
	if !ok {
		return nil
	}
	for _, field := range s.Fields.List {
		if field.Doc != nil || field.Comment != nil {
			continue
		}
		for _, name := range field.Names {
			if !name.IsExported() {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

// width is how many columns a line takes, with a stop for tabs at every fourth.
func width(line string) (n int) {
	for _, r := range line {
		if n++; r == '\t' {
			n += (4 - n%4) % 4
		}
	}
	return n
}

// sizes holds what is left of files, lines and structs that are too large, and of private fields
// that nothing explains. A change may bring the figures down, and then writes them here; it never
// brings them up.
var sizes = struct{ files, lines, comments, structs, fields int }{
	files: 0, lines: 0, comments: 0, structs: 0, fields: 0,
}
