// Not with the race detector, with which the source is the same.

//go:build !race

package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOwners holds that no struct has several owners, as far as locks show it: it has at most one
// lock; the lock's comment names no fields that the struct does not have; and no comment of a field
// names a lock that lies elsewhere, unless the comment of the struct names it, too. What has another
// owner is a type of its own, whose comment says who that is, and which may lie by value in the
// first.
func TestOwners(t *testing.T) {
	for _, path := range ownPackages(t) {
		h := loadHouse(t, path)
		for _, f := range h.files {
			for _, d := range f.Decls {
				d, ok := d.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, spec := range d.Specs {
					spec, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					for _, wrong := range wrongOwners(spec, oneLine(d.Doc, spec.Doc)) {
						t.Errorf("%s: %s %s", h.fset.Position(spec.Pos()), spec.Name, wrong)
					}
				}
			}
		}
	}
}

// TestOwnersAreSeen holds that TestOwners finds what it looks for.
func TestOwnersAreSeen(t *testing.T) {
	for comment, c := range map[string]struct {
		fields string
		want   []string
	}{
		"one lock":  {"mu sync.Mutex // guards a and b\n a, b int", nil},
		"two locks": {"mu sync.Mutex\n other lockorder.Mutex[lockorder.Leaf]", []string{"has the locks mu, other"}},
		"a field that is gone": {
			"mu sync.Mutex // guards a, b, and gone. It is taken first.\n a, b int",
			[]string{"has no gone, which its lock guards"},
		},
		"everything":   {"mu sync.Mutex // guards every other field\n a int", nil},
		"its own lock": {"mu sync.Mutex\n a int // what it is; mu guards it", nil},
		"the lock of another": {
			"mu sync.Mutex\n a int // what it is. The broker's mutex guards it.",
			[]string{"has a, but not \"broker's mutex\", which guards it"},
		},
		"the lock of a lock": {"a int // the mutex of workerFleet guards it", []string{"has a, but not \"mutex of workerFleet\", which guards it"}},
		"a lock with a path": {"a int // other.mu guards it", []string{"has a, but not \"other.mu\", which guards it"}},
		"an owner of all its parts. The broker's mutex guards it.": {"a int // the broker's mutex guards it", nil},
		"a part that guards itself":                                {"a part // it guards itself", nil},
	} {
		t.Run(comment, func(t *testing.T) {
			file := parse(t, "package p\n\ntype T struct {\n"+c.fields+"\n}\n")
			spec := file.Decls[0].(*ast.GenDecl).Specs[0].(*ast.TypeSpec)
			require.Equal(t, c.want, wrongOwners(spec, comment))
		})
	}
}

// guarded matches a comment that says that a lock guards a field. It finds the lock.
var guarded = regexp.MustCompile(`(\w+'s (?:mutex|lock)|(?:mutex|lock) of (?:the )?\w+|\w+\.\w*[mM]u) guards`)

// guards matches the comment of a lock. It finds the fields that the lock guards.
var guards = regexp.MustCompile(`\bguards (\w+(?:(?:, and | and |, )\w+)*)(?:[.;]|$)`)

// between matches what stands between two fields in the comment of a lock.
var between = regexp.MustCompile(`, and | and |, `)

// wrongOwners returns what is wrong with the locks of a type that is a struct.
func wrongOwners(spec *ast.TypeSpec, doc string) (wrong []string) {
	s, ok := spec.Type.(*ast.StructType)
	if !ok {
		return nil
	}
	var names, locks, comments []string // of all fields; of the locks; of these the comments
	for _, field := range s.Fields.List {
		text := oneLine(field.Doc, field.Comment)
		var own []string
		for _, name := range field.Names {
			own = append(own, name.Name)
		}
		names = append(names, own...)
		if isLock(field.Type) {
			locks, comments = append(locks, strings.Join(own, ", ")), append(comments, text)
		} else if lock := guarded.FindStringSubmatch(text); lock != nil && len(own) > 0 && !strings.Contains(doc, lock[1]) {
			wrong = append(wrong, "has "+own[0]+", but not \""+lock[1]+"\", which guards it")
		}
	}
	if len(locks) > 1 {
		wrong = append(wrong, "has the locks "+strings.Join(locks, ", "))
	}
	for _, text := range comments {
		for _, m := range guards.FindAllStringSubmatch(text, -1) {
			for _, name := range between.Split(m[1], -1) {
				if !slices.Contains(names, name) {
					wrong = append(wrong, "has no "+name+", which its lock guards")
				}
			}
		}
	}
	return wrong
}

// oneLine returns the text of comments in one line.
func oneLine(comments ...*ast.CommentGroup) string {
	var words []string
	for _, c := range comments {
		words = append(words, strings.Fields(c.Text())...)
	}
	return strings.Join(words, " ")
}

// isLock reports whether a type is a mutex.
func isLock(typ ast.Expr) bool {
	if of, ok := typ.(*ast.IndexExpr); ok { // a lockorder.Mutex has a rank
		typ = of.X
	}
	sel, ok := typ.(*ast.SelectorExpr)
	return ok && (sel.Sel.Name == "Mutex" || sel.Sel.Name == "RWMutex")
}

// parse reads one file of Go.
func parse(t *testing.T, text string) *ast.File {
	f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.ParseComments)
	require.NoError(t, err)
	return f
}
