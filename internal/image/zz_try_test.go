package image
import ("testing";"os";"fmt";"context")
func TestTryBuild(t *testing.T){
 s,err:=Open(os.Getenv("TRY_DIR")); if err!=nil{t.Fatal(err)}
 b:=Builder{Store:s}
 for _,n:=range []string{"code_latest","linux_latest"} {
  last:=""
  img,err:=b.Build(context.Background(),n,func(p Progress){ l:=fmt.Sprintf("%s %d/%d %d%% cached=%v done=%v",p.Step,p.Number,p.Steps,p.Percent/10*10,p.Cached,p.Done); if l!=last {last=l; fmt.Println(l,p.Detail,p.Elapsed)}})
  if err!=nil{t.Fatal(err)}
  fmt.Printf("%+v\n",img)
 }
}
