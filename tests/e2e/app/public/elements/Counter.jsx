export default function Counter() {
  return <div id="counter">Counted {props.count} times</div>
}
